#include "client/cpp/src/get_deltas.h"

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status_macros.h"

namespace cairn::client {

absl::StatusOr<GetDeltas::Undone> GetDeltas::Undo(const GetAnswer::Chunk& chunk, const GetEntry& entry,
                                                  absl::Span<const char> in_place) {
  absl::string_view encoded = chunk.pieces.front().bytes();
  if (chunk.pieces.size() > 1) {
    joined_.clear();
    for (const Buffer& piece : chunk.pieces) joined_.append(piece.data(), piece.size());
    encoded = joined_;
  }
  DeltaMode mode;
  CAIRN_RETURN_IF_ERROR(ReadDeltaMode(encoded, &mode));
  const bool needs_base = mode != DeltaMode::kPlanes && mode != DeltaMode::kRaw;
  if (needs_base != !chunk.base_digest.empty()) {
    return absl::DataLossError(absl::StrCat("mode ", static_cast<int>(mode), needs_base ? ", without" : ", with", " the digest of a base"));
  }

  Undone undone;
  absl::string_view base;
  if (needs_base) {
    base = absl::string_view(in_place.data(), in_place.size());
    if (held_ != nullptr) {
      base_.resize(chunk.raw_bytes);
      CAIRN_ASSIGN_OR_RETURN(undone.base_fits, held_->ReadAt(entry, chunk.offset, absl::MakeSpan(base_)));
      base = base_;
    }
    undone.base_fits = undone.base_fits && base.size() == chunk.raw_bytes &&
                       DigestOf(base, DigestAlgorithm::kXxh3).AsBytes() == chunk.base_digest;
    if (!undone.base_fits) return undone;
  }
  if (mode == DeltaMode::kSame && encoded.size() == 1) {
    undone.same = true;
    undone.bytes = base;
    return undone;
  }
  made_.resize(chunk.raw_bytes);
  CAIRN_RETURN_IF_ERROR(decoder_.Apply(encoded, base, absl::MakeSpan(made_)));
  undone.bytes = made_;
  return undone;
}

}  // namespace cairn::client
