#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace cairn {

// Where the bytes of a tensor lie that is cut over parts: its rows (as many as the extents before the axis make) each
// consist of one piece of every slice, in order. Slice s stands in parts [s * copies, (s + 1) * copies).
struct LlamaPieces {
  uint64_t rows = 1;
  uint64_t piece_bytes = 0;
  uint64_t slices = 1;
  uint64_t copies = 1;

  uint64_t row_bytes() const { return piece_bytes * slices; }
  uint64_t size() const { return rows * row_bytes(); }
};

// The row-major bytes of such a tensor, in bounded memory: many rows of small pieces are put together at once, large pieces
// are read where they are wanted. Copies are all read, and compared. One thread at a time.
class LlamaJoined {
 public:
  // Fills the span with the part's own bytes from the offset on.
  using PartRead = std::function<absl::Status(size_t part, uint64_t offset, absl::Span<char> dst)>;

  // pieces.size() fits 64 bits.
  LlamaJoined(const LlamaPieces& pieces, PartRead read) : pieces_(pieces), read_(std::move(read)) {}

  // [offset, offset + dst.size()) lies inside the tensor. INVALID_ARGUMENT, with both parts, where copies differ.
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst);

 private:
  // Some bytes of one slice, from the offset in it on.
  absl::Status ReadSlice(uint64_t slice, uint64_t offset, absl::Span<char> dst);
  // Makes rows [row, row + count) in block_, where count is what goes into a block.
  absl::Status MakeBlock(uint64_t row);

  const LlamaPieces pieces_;
  const PartRead read_;
  std::vector<char> block_;
  uint64_t block_row_ = 0;
  uint64_t block_rows_ = 0;
  std::vector<char> staging_;  // Of one slice.
  std::vector<char> copy_;
};

}  // namespace cairn
