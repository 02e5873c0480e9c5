#include "server/engine/extent_codec.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/delta/delta.h"

namespace cairn {
namespace {

constexpr uint64_t kMinExtentBytes = 22;  // The shortest digest, and six fields of a byte each.

}  // namespace

bool HasDeltas(absl::Span<const Extent> extents) {
  return std::any_of(extents.begin(), extents.end(),
                     [](const Extent& extent) { return extent.encoding != ExtentEncoding::kRaw; });
}

void WriteExtents(absl::Span<const Extent> extents, BinaryWriter& out) {
  out.Varint(extents.size());
  for (const Extent& extent : extents) {
    out.Text(extent.digest.AsBytes());
    out.Varint(extent.object);
    out.Varint(extent.offset);
    out.Varint(extent.stored_bytes);
    out.Varint(extent.raw_bytes);
    out.Byte(static_cast<uint8_t>(extent.encoding));
    if (extent.encoding == ExtentEncoding::kDelta) out.Varint(extent.base);
  }
}

absl::StatusOr<std::vector<Extent>> ExtentDecoder::ReadBases(BinaryReader& in) {
  std::vector<Extent> extents;
  if (version_ < kVersionWithDeltas) return extents;
  CAIRN_ASSIGN_OR_RETURN(const uint64_t count, in.Count(kMinExtentBytes));
  extents.reserve(count);
  bases_.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    uint32_t depth = 0;
    CAIRN_ASSIGN_OR_RETURN(extents.emplace_back(), ReadOne(in, &depth));
    bases_.push_back({extents.back().raw_bytes, depth});
  }
  return extents;
}

absl::StatusOr<std::vector<Extent>> ExtentDecoder::Read(BinaryReader& in) const {
  CAIRN_ASSIGN_OR_RETURN(const uint64_t count, in.Count(kMinExtentBytes));
  std::vector<Extent> extents(count);
  for (Extent& extent : extents) {
    uint32_t depth = 0;
    CAIRN_ASSIGN_OR_RETURN(extent, ReadOne(in, &depth));
  }
  return extents;
}

absl::StatusOr<Extent> ExtentDecoder::ReadOne(BinaryReader& in, uint32_t* depth) const {
  Extent extent;
  // Version 1 had 32 bytes of SHA-256; later ones tell which digest it is.
  CAIRN_ASSIGN_OR_RETURN(const absl::string_view raw_digest,
                         version_ == 1 ? in.Raw(static_cast<uint64_t>(DigestAlgorithm::kSha256)) : in.Text());
  absl::StatusOr<Digest> digest = Digest::FromBytes(raw_digest);
  if (!digest.ok()) return in.Damaged(digest.status().message());
  extent.digest = *digest;
  CAIRN_ASSIGN_OR_RETURN(const uint64_t object, in.Varint());
  if (object >= object_count_) return in.Damaged(absl::StrCat("object number ", object, " of ", object_count_));
  extent.object = static_cast<uint32_t>(object);
  CAIRN_ASSIGN_OR_RETURN(extent.offset, in.Varint());
  CAIRN_ASSIGN_OR_RETURN(const uint64_t stored, in.Varint());
  CAIRN_ASSIGN_OR_RETURN(const uint64_t raw, in.Varint());
  if (stored > UINT32_MAX || raw > UINT32_MAX) return in.Damaged("extent above 4 GiB");
  extent.stored_bytes = static_cast<uint32_t>(stored);
  extent.raw_bytes = static_cast<uint32_t>(raw);
  CAIRN_ASSIGN_OR_RETURN(const uint8_t encoding, in.Byte());
  extent.encoding = static_cast<ExtentEncoding>(encoding);
  if (extent.encoding == ExtentEncoding::kRaw) {
    if (raw != stored) return in.Damaged("raw extent whose two lengths differ");
    return extent;
  }
  if (extent.encoding != ExtentEncoding::kDelta || version_ < kVersionWithDeltas) {
    return in.Damaged(absl::StrCat("extent encoding ", encoding, " is not known to version ", version_));
  }
  CAIRN_RETURN_IF_ERROR(ReadDelta(in, extent, depth));
  return extent;
}

absl::Status ExtentDecoder::ReadDelta(BinaryReader& in, Extent& extent, uint32_t* depth) const {
  // So that a reader may make room for both before it has seen a byte of the delta.
  if (extent.raw_bytes > kMaxDeltaBytes || extent.stored_bytes == 0 || extent.stored_bytes > extent.raw_bytes + 1) {
    return in.Damaged(absl::StrCat("delta of ", extent.stored_bytes, " bytes for ", extent.raw_bytes, ", which may be ",
                                   kMaxDeltaBytes));
  }
  CAIRN_ASSIGN_OR_RETURN(const uint64_t base, in.Varint());
  if (base > bases_.size()) return in.Damaged(absl::StrCat("base number ", base, " of ", bases_.size(), " before it"));
  extent.base = static_cast<uint32_t>(base);
  if (base == 0) return absl::OkStatus();
  const Base& below = bases_[base - 1];
  if (below.raw_bytes != extent.raw_bytes) {
    return in.Damaged(absl::StrCat("delta of ", extent.raw_bytes, " bytes against a base of ", below.raw_bytes));
  }
  *depth = below.depth + 1;
  if (*depth > kMostDeltas) return in.Damaged(absl::StrCat("chain of more than ", kMostDeltas, " deltas"));
  return absl::OkStatus();
}

}  // namespace cairn
