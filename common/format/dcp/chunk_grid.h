#pragma once

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/tensor/shape.h"

namespace cairn {

// A tensor that lies in boxes, each row-major on its own: its row-major bytes, any range of them, from theirs.
//
// The bytes of a box come in the same order in the box and in the tensor. So what a range of the tensor takes from a
// box is one run of that box's bytes: each box is read front to back by whoever reads the tensor front to back, in
// windows where its rows are short.
class ChunkGrid {
 public:
  // Fills the span with the chunk's bytes from an offset on.
  using ReadChunk = absl::FunctionRef<absl::Status(size_t chunk, uint64_t offset, absl::Span<char> dst)>;

  ChunkGrid() = default;
  // INVALID_ARGUMENT unless the chunks cover every element once. None of them is empty; a tensor without elements has
  // none.
  static absl::StatusOr<ChunkGrid> Create(absl::Span<const int64_t> shape, uint32_t element_size,
                                          absl::Span<const Box> chunks);

  uint64_t byte_size() const { return byte_size_; }
  size_t chunks() const { return chunks_; }
  uint64_t chunk_bytes(size_t chunk) const;
  // Without the element's own bytes.
  absl::Span<const int64_t> chunk_extent(size_t chunk) const { return Extent(chunk).first(dims_.size() - 1); }

  // Fills `dst` with the tensor's bytes from `offset` on, which must lie inside it. `scratch` is memory that is kept
  // from one call to the next: as much as kWindow.
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst, std::vector<char>* scratch, ReadChunk read) const;

  bool operator==(const ChunkGrid&) const = default;

 private:
  static constexpr size_t kWindow = size_t{1} << 20;
  // Shorter runs are read many at a time.
  static constexpr uint64_t kDirectRun = 64u << 10;
  static constexpr size_t kFewChunks = 8;

  absl::Span<const int64_t> Offset(size_t chunk) const {
    return absl::MakeConstSpan(bounds_).subspan(chunk * 2 * dims_.size(), dims_.size());
  }
  absl::Span<const int64_t> Extent(size_t chunk) const {
    return absl::MakeConstSpan(bounds_).subspan((chunk * 2 + 1) * dims_.size(), dims_.size());
  }
  void SortByBegin();
  // How many of the chunk's bytes come before a place of the tensor.
  uint64_t BytesBefore(size_t chunk, absl::Span<const int64_t> place) const;
  absl::Status CopyRange(size_t chunk, uint64_t begin, uint64_t end, uint64_t tensor_begin, absl::Span<char> dst,
                         std::vector<char>* scratch, ReadChunk read) const;

  // The tensor as one of bytes: the last dimension is the element.
  std::vector<int64_t> dims_;
  std::vector<uint64_t> inner_;  // Bytes from one index to the next.
  std::vector<int64_t> bounds_;  // Per chunk: offsets, extents.
  // Where a chunk's first byte lies in the tensor, and the furthest end of the chunks up to this one in that order: what
  // touches a range stands together.
  struct Reach {
    uint64_t begin = 0;
    uint64_t furthest_end = 0;
    size_t chunk = 0;
    bool operator==(const Reach&) const = default;
  };
  std::vector<Reach> by_begin_;  // Empty for few chunks, which are all looked at.
  size_t chunks_ = 0;
  uint64_t byte_size_ = 0;
};

}  // namespace cairn
