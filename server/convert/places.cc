#include "server/convert/places.h"

#include <filesystem>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/diff/diff_asset.h"
#include "common/format/all_formats.h"
#include "common/format/cairndiff/cairndiff_format.h"
#include "common/format/cairndiff/diff_file.h"
#include "common/format/checkpoint_file.h"
#include "server/engine/entry_digest.h"

namespace cairn {
namespace {

absl::StatusOr<FileSpec> SpecOf(const ConvertPlace& place) {
  if (!place.format.empty()) return ParseFileSpec(absl::StrCat(place.format, "::", place.path));
  FileSpec spec;
  spec.path = place.path;
  return spec;
}

std::string FileName(const std::string& path) {
  const std::filesystem::path parts(path);
  return (parts.has_filename() ? parts : parts.parent_path()).filename().string();
}

absl::StatusOr<std::unique_ptr<StoredReader>> OpenRef(const PlaceContext& context, const std::string& text) {
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(text));
  return context.engine.OpenReader(ref);
}

std::string ShownRef(const CheckpointRow& row) { return absl::StrCat(row.name, "@", row.step); }

absl::StatusOr<DiffPlace> OpenUnnamed(const PlaceContext& context, const ConvertPlace& place) {
  DiffPlace opened;
  if (!place.ref.empty()) {
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<StoredReader> stored, OpenRef(context, place.ref));
    opened.stored = stored.get();
    opened.label = ShownRef(stored->row());
    opened.uid = stored->row().uid;
    opened.side.reader = std::move(stored);
    return opened;
  }
  CAIRN_ASSIGN_OR_RETURN(FileSpec spec, SpecOf(place));
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> tree, context.roots.OpenSource(spec.path, context.cancellation));
  if (spec.format == nullptr) {
    CAIRN_ASSIGN_OR_RETURN(spec.format, DetectFormatOfSource(*tree));
  }
  ReadOptions options;
  options.variant = spec.variant;
  opened.label = FileName(ShownPlace(spec.path));
  CAIRN_ASSIGN_OR_RETURN(opened.side.reader, spec.format->Open(std::move(tree), options));
  return opened;
}

absl::Status NoDiff(absl::string_view name) {
  return absl::FailedPreconditionError(absl::StrCat(
      name, ": is no exact diff (a .cairndiff file, or a ref that stores one); a checkpoint of differences is added to the base in mode arithmetic"));
}

// By piece; empty unless the entry lies in pieces of kDiffPieceBytes, digested as those of diffs are.
std::vector<Digest> PieceDigests(const StoredEntry& stored) {
  if (stored.shards.size() != 1 || stored.shards[0].byte_size != stored.entry.byte_size) return {};
  const std::vector<Extent>& extents = stored.shards[0].extents;
  if (extents.size() != CeilDiv(stored.entry.byte_size, kDiffPieceBytes)) return {};
  std::vector<Digest> digests;
  for (const Extent& extent : extents) {
    const bool last = digests.size() + 1 == extents.size();
    if (extent.digest.algorithm() != DigestAlgorithm::kXxh3 || (!last && extent.raw_bytes != kDiffPieceBytes)) return {};
    digests.push_back(extent.digest);
  }
  return digests;
}

}  // namespace

absl::Status CheckPlace(const ConvertPlace& place, absl::string_view which) {
  if (place.ref.empty() == place.path.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(which, ": expected either a ref or a path"));
  }
  if (!place.ref.empty() && !place.format.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(which, ": a ref has no format, found \"", place.format, "\""));
  }
  return absl::OkStatus();
}

absl::StatusOr<DiffPlace> OpenDiffPlace(const PlaceContext& context, const ConvertPlace& place, absl::string_view which) {
  CAIRN_RETURN_IF_ERROR(CheckPlace(place, which));
  absl::StatusOr<DiffPlace> opened = OpenUnnamed(context, place);
  if (!opened.ok()) return Annotate(opened.status(), absl::StrCat("the ", which));
  return opened;
}

std::vector<std::string> EntryDigests(const StoredReader& stored) {
  std::vector<std::string> digests;
  for (const StoredEntry& entry : stored.manifest().entries) digests.push_back(EntryDigest(entry));
  return digests;
}

KnownPiece KnownPieces(const DiffPlace& place) {
  if (place.stored == nullptr) return nullptr;
  struct Last {
    size_t entry = SIZE_MAX;
    std::vector<Digest> digests;
  };
  // Entries are asked for one after the other.
  return [&place, last = std::make_shared<Last>()](size_t entry, uint64_t piece) -> std::optional<Digest> {
    if (last->entry != entry) {
      const std::vector<size_t>& sources = place.side.source_entries;
      last->digests = PieceDigests(place.stored->manifest().entries[sources.empty() ? entry : sources[entry]]);
      last->entry = entry;
    }
    if (piece >= last->digests.size()) return std::nullopt;
    return last->digests[piece];
  };
}

absl::StatusOr<std::unique_ptr<ByteSource>> OpenDiffBytes(const PlaceContext& context, const ConvertPlace& place, absl::string_view which) {
  CAIRN_RETURN_IF_ERROR(CheckPlace(place, which));
  const auto open = [&]() -> absl::StatusOr<std::unique_ptr<ByteSource>> {
    if (!place.ref.empty()) {
      CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<StoredReader> stored, OpenRef(context, place.ref));
      std::string name = ShownRef(stored->row());
      if (!StoresDiff(stored->index())) return NoDiff(name);
      return StoredDiffBytes(std::move(stored), std::move(name));
    }
    CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, SpecOf(place));
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<SourceTree> tree, context.roots.OpenSource(spec.path, context.cancellation));
    if (tree->is_directory() || (spec.format != nullptr && spec.format != &CairnDiffFormat())) return NoDiff(ShownPlace(spec.path));
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, tree->Open(""));
    if (spec.format == nullptr && !LooksLikeDiffFile(*file)) return NoDiff(ShownPlace(spec.path));
    return file;
  };
  absl::StatusOr<std::unique_ptr<ByteSource>> opened = open();
  if (!opened.ok()) return Annotate(opened.status(), absl::StrCat("the ", which));
  return opened;
}

absl::Status CheckOutput(const ConvertPlace& place) {
  CAIRN_RETURN_IF_ERROR(CheckPlace(place, "output"));
  if (place.ref.empty()) return absl::OkStatus();
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(place.ref));
  if (ref.step.has_value()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("output: \"", place.ref, "\": expected NAME@STEP, the checkpoint to be"));
}

absl::StatusOr<JobOutput> JobOutput::Open(const PlaceContext& context, const OutputRequest& request,
                                          const std::map<std::string, std::string>& metadata) {
  JobOutput output;
  if (request.place.ref.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, SpecOf(request.place));
    TargetFileOptions options;
    options.overwrite = request.overwrite;
    CAIRN_ASSIGN_OR_RETURN(const TargetFile target, ResolveTarget(spec, options));
    SinkTreeOptions sink_options;
    sink_options.overwrite = target.overwrite;
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> sink, context.roots.CreateTarget(target.path, sink_options, context.cancellation));
    CAIRN_ASSIGN_OR_RETURN(output.writer_, target.format->Create(std::move(sink), target.options));
    return output;
  }
  CAIRN_RETURN_IF_ERROR(CheckOutput(request.place));
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(request.place.ref));
  absl::BitGen random;
  SessionSpec spec;
  spec.name = ref.name;
  spec.step = *ref.step;
  spec.client_key = !request.session_key.empty() ? request.session_key
                                                 : absl::StrCat("diff-", absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
  spec.overwrite = request.overwrite;
  spec.metadata = request.metadata;
  spec.metadata.insert(metadata.begin(), metadata.end());
  spec.parent = request.parent.empty() ? "" : absl::StrCat("uid:", request.parent);
  spec.created_by = request.created_by;
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<StoredWriter> stored, StoredWriter::Create(context.engine, std::move(spec)));
  output.stored_ = stored.get();
  output.writer_ = std::move(stored);
  return output;
}

std::optional<CheckpointRow> JobOutput::committed() const {
  return stored_ == nullptr ? std::nullopt : stored_->committed();
}

absl::StatusOr<std::unique_ptr<SinkTree>> CreateDiffFile(const PlaceContext& context, const OutputRequest& request) {
  CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, SpecOf(request.place));
  if (spec.format != nullptr && spec.format != &CairnDiffFormat()) {
    return absl::InvalidArgumentError(absl::StrCat("an exact diff is a file of its own format, cairndiff, and not ", spec.format->name(),
                                                   "; an arithmetic one may have any format"));
  }
  SinkTreeOptions options;
  options.overwrite = request.overwrite;
  return context.roots.CreateTarget(spec.path, options, context.cancellation);
}

}  // namespace cairn
