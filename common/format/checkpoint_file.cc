#include "common/format/checkpoint_file.h"

#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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

absl::StatusOr<std::unique_ptr<CheckpointWriter>> CreateTarget(const TargetFile& target) {
  if (!target.resume_identity.empty()) {
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<ResumableTree> tree,
                           ResumableTree::Open(target.path, {.identity = target.resume_identity, .overwrite = target.overwrite}));
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointWriter> writer, target.format->Create(tree, target.options));
    // Other writers may want to see all bytes (a digest of them may stand in another file): these are read, and not written.
    const absl::string_view format = target.format->name();
    const bool only_counts = format == "safetensors" || format == "torch" || format == "flax";
    return only_counts ? ResumeWriting(std::move(writer), std::move(tree)) : std::move(writer);
  }
  SinkTreeOptions options;
  options.overwrite = target.overwrite;
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> sink, CreateSinkTree(target.path, options));
  const bool beside = target.assets_beside && !sink->is_directory() && IsOneFile(target);
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointWriter> writer, target.format->Create(std::move(sink), target.options));
  return beside ? WriteAssetsBeside(std::move(writer), target.path, target.overwrite) : std::move(writer);
}

std::optional<Dtype> DefaultFloatDtype(const Format& format) {
  if (format.name() == kEasyLm) return Dtype::kBfloat16;
  return std::nullopt;
}

}  // namespace cairn
