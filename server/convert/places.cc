#include "server/convert/places.h"

#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "common/io/file_identity.h"
#include "common/net/url.h"
#include "common/net/url_tree.h"

namespace cairn {
namespace {

std::string RandomHex() {
  absl::BitGen random;
  return absl::StrCat(absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16), absl::Hex(absl::Uniform<uint64_t>(random), absl::kZeroPad16));
}

std::string SessionKey(const OutputRequest& request) {
  if (request.session_key.empty()) return absl::StrCat("job-", RandomHex());
  if (request.identity.empty()) return request.session_key;
  Digester digester(DigestAlgorithm::kSha256);
  digester.Update(absl::StrCat(request.session_key.size(), ":", request.session_key, ";", request.identity));
  return absl::StrCat("job-", digester.Finish().ToHex());
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

absl::StatusOr<FileSpec> SpecOf(const ConvertPlace& place) {
  if (!place.format.empty()) return ParseFileSpec(absl::StrCat(place.format, "::", place.path));
  FileSpec spec;
  spec.path = place.path;
  return spec;
}

absl::StatusOr<Ref> ParseTargetRef(const ConvertPlace& place) {
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(place.ref));
  if (ref.step.has_value()) return ref;
  return absl::InvalidArgumentError(absl::StrCat("\"", place.ref, "\": expected NAME@STEP, the checkpoint to be"));
}

uint64_t SourceBytes(const ConvertPlace& place) { return place.tree_bytes + (IsUrl(place.path) ? kUrlSourceBytes : 0); }
uint64_t TargetBytes(const ConvertPlace& place) { return place.tree_bytes + (IsUrl(place.path) ? kUrlTargetBytes : 0); }

absl::StatusOr<SourcePlace> OpenSource(const PlaceContext& context, const ConvertPlace& place, const ReadLimits& limits) {
  SourcePlace opened;
  if (!place.ref.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(place.ref));
    CAIRN_ASSIGN_OR_RETURN(const CheckpointRow row, context.engine.Resolve(ref));
    if (row.entry_count > limits.max_entries) {
      return absl::ResourceExhaustedError(absl::StrCat(place.ref, ": ", row.entry_count, " entries, over the limit of ", limits.max_entries));
    }
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<StoredReader> stored, context.engine.OpenReader(ref));
    opened.stored = stored.get();
    opened.reader = std::move(stored);
    return opened;
  }
  CAIRN_ASSIGN_OR_RETURN(opened.spec, SpecOf(place));
  opened.tree = place.source_tree;
  if (opened.tree == nullptr) {
    CAIRN_ASSIGN_OR_RETURN(opened.tree, context.roots.OpenSource(opened.spec.path, context.cancellation));
  }
  if (opened.spec.format == nullptr) {
    const absl::StatusOr<const Format*> detected = DetectFormat(*opened.tree);
    if (!detected.ok()) CAIRN_RETURN_IF_ERROR(NetworkFailure(*opened.tree));
    CAIRN_ASSIGN_OR_RETURN(opened.spec.format, detected);
  }
  ReadOptions options;
  options.variant = opened.spec.variant;
  options.limits = limits;
  CAIRN_ASSIGN_OR_RETURN(opened.reader, opened.spec.format->Open(opened.tree, options));
  return opened;
}

absl::Status NetworkFailure(const SourceTree& tree) {
  const auto* const url = dynamic_cast<const UrlTree*>(&tree);
  return url == nullptr ? absl::OkStatus() : url->failure();
}

absl::StatusOr<std::string> SourceIdentity(const ConvertPlace& place, const SourceTree* tree, const StoredReader* stored) {
  if (stored != nullptr) return absl::StrCat("uid:", stored->row().uid);
  if (place.source_tree != nullptr) return absl::InvalidArgumentError("resume: not for a source that is sent here");
  if (const auto* const url = dynamic_cast<const UrlTree*>(tree); url != nullptr) return absl::StrCat(place.format, "::", url->Identity());
  CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, SpecOf(place));
  CAIRN_ASSIGN_OR_RETURN(const std::string identity, FileIdentity(spec.path));
  return absl::StrCat(place.format, "::", spec.path, "\n", identity);
}

std::string IdentityForKey(const ConvertPlace& place, const SourceTree* tree, const StoredReader* stored) {
  const absl::StatusOr<std::string> identity = SourceIdentity(place, tree, stored);
  return identity.ok() ? *identity : absl::StrCat("unknown ", RandomHex());
}

absl::StatusOr<std::unique_ptr<StoredWriter>> CreateStoredTarget(CheckpointEngine& engine, const OutputRequest& request,
                                                                 const std::map<std::string, std::string>& metadata) {
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, ParseTargetRef(request.place));
  SessionSpec spec;
  spec.name = ref.name;
  spec.step = *ref.step;
  spec.client_key = SessionKey(request);
  spec.overwrite = request.overwrite;
  // What the source says of itself, unless the caller says otherwise.
  spec.metadata = request.metadata;
  spec.metadata.insert(metadata.begin(), metadata.end());
  spec.parent = request.parent.empty() ? "" : absl::StrCat("uid:", request.parent);
  spec.created_by = request.created_by;
  return StoredWriter::Create(engine, std::move(spec));
}

}  // namespace cairn
