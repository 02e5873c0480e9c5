#include "common/format/checkpoint_file.h"

#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/assets_beside.h"
#include "common/format/resuming_writer.h"
#include "common/io/file_tree.h"

namespace cairn {
namespace {

constexpr absl::string_view kEasyLm = "easylm";

const Format* FormatByFileName(const std::string& path) {
  const std::string name = std::filesystem::path(path).filename().string();
  const bool easylm =
      absl::StartsWith(name, "streaming_params") || absl::StartsWith(name, "streaming_train_state");
  if (easylm) return FormatByName(kEasyLm).value();
  if (absl::EndsWith(name, ".npz")) return FormatByName("npz").value();
  if (absl::EndsWith(name, ".cairndiff")) return FormatByName("cairndiff").value();
  if (name == "lit_model.pth") return FormatByName("litgpt").value();
  for (const absl::string_view suffix : {".pt", ".pth", ".bin", ".ckpt"}) {
    if (absl::EndsWith(name, suffix)) return FormatByName("torch").value();
  }
  return FormatByName(absl::EndsWith(name, ".msgpack") ? "flax" : "safetensors").value();
}

// Formats that have folders make one where there are assets, unless the name is one of a file.
bool IsOneFile(const TargetFile& target) {
  if (target.options.max_shard_bytes > 0 || target.options.parts > 0) return false;
  if (!target.format->traits().assets) return true;
  const absl::string_view format = target.format->name();
  if (format != "safetensors" && format != "torch" && format != "flax") return false;
  for (const absl::string_view suffix : {".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".msgpack"}) {
    if (absl::EndsWith(target.path, suffix)) return true;
  }
  return false;
}

}  // namespace

absl::Status DetectFormatOf(FileSpec& source) {
  if (source.format != nullptr) return absl::OkStatus();
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<SourceTree> tree, OpenSourceTree(source.path));
  CAIRN_ASSIGN_OR_RETURN(source.format, DetectFormat(*tree));
  return absl::OkStatus();
}

absl::StatusOr<TargetFile> ResolveTarget(const FileSpec& spec, const TargetFileOptions& options) {
  TargetFile target;
  target.format = spec.format;
  target.options.variant = spec.variant;
  target.path = spec.path;
  if (!options.format.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const Format* const named, FormatByName(options.format));
    if (target.format != nullptr && target.format != named) {
      return absl::InvalidArgumentError(absl::StrCat("format ", options.format, " contradicts the prefix of \"",
                                                     spec.path, "\", which says ", target.format->name()));
    }
    target.format = named;
  }
  if (target.format == nullptr) target.format = FormatByFileName(spec.path);
  if (!target.format->traits().writable) {
    return absl::InvalidArgumentError(absl::StrCat("format ", target.format->name(), " can only be read"));
  }
  if (options.max_shard_bytes > 0 && !target.format->traits().shards) {
    return absl::InvalidArgumentError(
        absl::StrCat("format ", target.format->name(), " is always one file and cannot be cut into shards"));
  }
  if (options.parts > 0 && !target.format->traits().parts) {
    return absl::InvalidArgumentError(
        absl::StrCat("format ", target.format->name(), " does not cut tensors into parts; llama does"));
  }
  if (!IsUtf8(options.separator)) {
    return absl::InvalidArgumentError(absl::StrCat("separator: expected UTF-8, found \"", options.separator, "\""));
  }
  target.options.max_shard_bytes = options.max_shard_bytes;
  target.options.parts = options.parts;
  target.options.separator = options.separator;
  target.options.drop_unsupported = options.drop_unsupported;
  target.overwrite = options.overwrite;
  target.assets_beside = options.assets_beside;
  return target;
}

std::string ResumeIdentity(const TargetFile& target, const std::vector<std::string>& parts) {
  Digester digester(DigestAlgorithm::kSha256);
  const auto add = [&](absl::string_view part) { digester.Update(absl::StrCat(part.size(), ":", part, ";")); };
  // Another version may write other bytes.
  add(CAIRN_VERSION);
  for (const std::string& part : parts) add(part);
  add(target.format->name());
  add(target.options.variant);
  add(absl::StrCat(target.options.max_shard_bytes, " ", target.options.parts, " ", target.options.drop_unsupported, " ", target.assets_beside));
  add(target.options.separator);
  return digester.Finish().ToHex();
}

absl::StatusOr<std::unique_ptr<CheckpointWriter>> CreateTarget(const TargetFile& target) {
  const auto create = [&](std::shared_ptr<SinkTree> tree, const std::string& scratch, auto wrap) -> absl::StatusOr<std::unique_ptr<CheckpointWriter>> {
    const bool beside = target.assets_beside && !tree->is_directory() && IsOneFile(target);
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointWriter> writer, target.format->Create(std::move(tree), target.options));
    writer = wrap(std::move(writer));
    return beside ? WriteAssetsBeside(std::move(writer), target.path, target.overwrite, scratch) : std::move(writer);
  };
  if (!target.resume_identity.empty()) {
    ResumableTreeOptions options;
    options.identity = target.resume_identity;
    options.overwrite = target.overwrite;
    options.note = target.note;
    options.wait = target.resume_wait;
    options.cancellation = target.cancellation;
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<ResumableTree> tree, ResumableTree::Open(target.path, std::move(options)));
    // Other writers may want to see all bytes (a digest of them may stand in another file): these are read, and not written.
    const absl::string_view format = target.format->name();
    const bool only_counts = format == "safetensors" || format == "torch" || format == "flax";
    return create(tree, tree->ScratchFolder(), [&](auto writer) { return ResumeWriting(std::move(writer), tree, only_counts); });
  }
  SinkTreeOptions options;
  options.overwrite = target.overwrite;
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> sink, CreateSinkTree(target.path, options));
  if (const std::string left = InterruptedRun(target.path); !left.empty() && target.note != nullptr) {
    target.note(absl::StrCat(left, ": is what an interrupted run that was to be resumed has left; this run does not use it, remove it if nobody will"));
  }
  return create(std::move(sink), /*scratch=*/"", [](auto writer) { return writer; });
}

std::optional<Dtype> DefaultFloatDtype(const Format& format) {
  if (format.name() == kEasyLm) return Dtype::kBfloat16;
  return std::nullopt;
}

}  // namespace cairn
