#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/tensor/shape.h"

namespace cairn {

// A tensor as some elements of a storage: element (i0, i1, ...) lies at offset + i0 * strides[0] + i1 * strides[1] +
// ... Everything but element_size counts elements. Dimensions may be permuted, leave gaps, repeat (stride 0) and
// overlap; a negative stride is refused by CheckView.
struct StridedView {
  Shape shape;
  std::vector<int64_t> strides;  // One per dimension.
  int64_t offset = 0;
  uint32_t element_size = 0;  // Bytes.

  bool operator==(const StridedView&) const = default;

  // The usual order (C, PyTorch): the last dimension is next to itself. `shape` as ElementCount accepts it.
  static StridedView RowMajor(Shape shape, uint32_t element_size, int64_t offset = 0);
  // Fortran's order: the first dimension is next to itself.
  static StridedView ColumnMajor(Shape shape, uint32_t element_size, int64_t offset = 0);

  // "shape [2, 3], strides [1, 2], offset 0".
  std::string ToString() const;
};

// INVALID_ARGUMENT unless shape and strides are of one rank, nothing is negative, the element size is not 0, and every
// element lies inside a storage of `storage_elements`. Nothing overflows, whatever the numbers. A view without elements
// may have any strides and any offset up to the end of the storage.
absl::Status CheckView(const StridedView& view, uint64_t storage_elements);

// The rest takes views that CheckView has passed.

// Bytes of the view, read row by row.
uint64_t ViewBytes(const StridedView& view);

// The same elements in the same row-major order with the fewest dimensions: extents of 1 are dropped, neighbours that
// follow each other in the storage are joined. Rank 0 for one element; a view without elements becomes shape [0].
StridedView Coalesced(const StridedView& view);

// Its row-major bytes are one run of the storage's bytes.
bool IsContiguous(const StridedView& view);

// Dimension i of the result is dimension axes[i] of the view. INVALID_ARGUMENT unless `axes` is a permutation.
absl::StatusOr<StridedView> Permuted(const StridedView& view, absl::Span<const size_t> axes);

// The part of the view in the box. INVALID_ARGUMENT if the box leaves it.
absl::StatusOr<StridedView> Sliced(const StridedView& view, const Box& box);

}  // namespace cairn
