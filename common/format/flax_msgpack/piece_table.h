#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/base/status_macros.h"
#include "common/format/flax_msgpack/flax_array.h"

namespace cairn {

// Where the bytes of every entry lie: runs of a file, for entries numbered from 0 on.
class PieceTable {
 public:
  // The next entry. One without bytes has no pieces.
  void Add(absl::Span<const FlaxPiece> pieces) {
    first_.push_back(pieces_.size());
    uint64_t begin = 0;
    for (const FlaxPiece& piece : pieces) {
      pieces_.push_back({begin, piece.length, piece.offset});
      begin += piece.length;
    }
  }

  size_t size() const { return first_.size(); }
  // Forgets the entries from `size` on.
  void Truncate(size_t size) {
    if (size >= first_.size()) return;
    pieces_.resize(first_[size]);
    first_.resize(size);
  }

  // Calls `visit` (file offset, length) for the runs of [offset, offset + length) of an entry, which lie within it, in
  // order.
  template <typename Visit>
  absl::Status ForEachRun(size_t entry, uint64_t offset, uint64_t length, Visit visit) const {
    const size_t end = entry + 1 < first_.size() ? first_[entry + 1] : pieces_.size();
    const auto first = pieces_.begin() + static_cast<ptrdiff_t>(first_[entry]);
    const auto last = pieces_.begin() + static_cast<ptrdiff_t>(end);
    auto piece = std::upper_bound(first, last, offset,
                                  [](uint64_t value, const Piece& candidate) { return value < candidate.begin; });
    if (piece != first) --piece;
    for (; length > 0 && piece != last; ++piece) {
      const uint64_t within = offset - piece->begin;
      if (within >= piece->length) continue;
      const uint64_t run = std::min(length, piece->length - within);
      CAIRN_RETURN_IF_ERROR(visit(piece->file_offset + within, run));
      offset += run;
      length -= run;
    }
    return absl::OkStatus();
  }

 private:
  struct Piece {
    uint64_t begin = 0;  // Counts from the entry's first byte.
    uint64_t length = 0;
    uint64_t file_offset = 0;
  };
  std::vector<Piece> pieces_;  // Of all entries, one after the other.
  std::vector<size_t> first_;  // Per entry.
};

}  // namespace cairn
