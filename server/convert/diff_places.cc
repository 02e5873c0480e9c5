#include "server/convert/diff_places.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"
#include "common/diff/diff_asset.h"
#include "common/format/cairndiff/cairndiff_format.h"
#include "common/format/cairndiff/diff_file.h"
#include "common/format/checkpoint_file.h"
#include "server/engine/entry_digest.h"

namespace cairn {
namespace {

std::string FileName(const std::string& path) {
  const std::filesystem::path parts(path);
  return (parts.has_filename() ? parts : parts.parent_path()).filename().string();
}

std::string ShownRef(const CheckpointRow& row) { return absl::StrCat(row.name, "@", row.step); }

absl::StatusOr<DiffPlace> OpenUnnamed(const PlaceContext& context, const ConvertPlace& place, const ReadLimits& limits) {
  DiffPlace opened;
  CAIRN_ASSIGN_OR_RETURN(SourcePlace source, OpenSource(context, place, limits));
  opened.identity = IdentityForKey(place, source.tree.get(), source.stored);
  opened.stored = source.stored;
  if (source.stored != nullptr) {
    opened.label = ShownRef(source.stored->row());
    opened.uid = source.stored->row().uid;
  } else {
    opened.label = FileName(ShownPlace(source.spec.path));
  }
  opened.side.reader = std::move(source.reader);
  return opened;
}

absl::Status NoDiff(absl::string_view name) {
  return absl::FailedPreconditionError(absl::StrCat(
      name, ": is no exact diff (a .cairndiff file, or a ref that stores one); a checkpoint of differences is added to the base in mode arithmetic"));
}

absl::StatusOr<DiffBytes> OpenUnnamedBytes(const PlaceContext& context, const ConvertPlace& place) {
  DiffBytes opened;
  if (!place.ref.empty()) {
    CAIRN_ASSIGN_OR_RETURN(SourcePlace source, OpenSource(context, place, ReadLimits()));
    std::string name = ShownRef(source.stored->row());
    if (!StoresDiff(source.reader->index())) return NoDiff(name);
    opened.identity = IdentityForKey(place, nullptr, source.stored);
    opened.bytes = StoredDiffBytes(std::move(source.reader), std::move(name));
    return opened;
  }
  CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, SpecOf(place));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<SourceTree> tree, context.roots.OpenSource(spec.path, context.cancellation));
  if (tree->is_directory() || (spec.format != nullptr && spec.format != &CairnDiffFormat())) return NoDiff(ShownPlace(spec.path));
  CAIRN_ASSIGN_OR_RETURN(opened.bytes, tree->Open(""));
  if (spec.format == nullptr && !LooksLikeDiffFile(*opened.bytes)) {
    CAIRN_RETURN_IF_ERROR(NetworkFailure(*tree));
    return NoDiff(ShownPlace(spec.path));
  }
  opened.identity = IdentityForKey(place, tree.get(), nullptr);
  return opened;
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

absl::StatusOr<DiffPlace> OpenDiffPlace(const PlaceContext& context, const ConvertPlace& place, const ReadLimits& limits, absl::string_view which) {
  CAIRN_RETURN_IF_ERROR(CheckPlace(place, which));
  absl::StatusOr<DiffPlace> opened = OpenUnnamed(context, place, limits);
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

absl::StatusOr<DiffBytes> OpenDiffBytes(const PlaceContext& context, const ConvertPlace& place, absl::string_view which) {
  CAIRN_RETURN_IF_ERROR(CheckPlace(place, which));
  absl::StatusOr<DiffBytes> opened = OpenUnnamedBytes(context, place);
  if (!opened.ok()) return Annotate(opened.status(), absl::StrCat("the ", which));
  return opened;
}

absl::Status CheckOutput(const ConvertPlace& place) {
  CAIRN_RETURN_IF_ERROR(CheckPlace(place, "output"));
  if (place.ref.empty()) return absl::OkStatus();
  return Annotate(ParseTargetRef(place).status(), "output");
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
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<StoredWriter> stored, CreateStoredTarget(context.engine, request, metadata));
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
