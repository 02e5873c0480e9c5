#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/tensor/dtype.h"

namespace cairn {

// Extent of each dimension, outermost first; row-major. Empty for a scalar. Every extent is >= 0.
using Shape = std::vector<int64_t>;

// Dimensions that a tensor may have at most.
inline constexpr size_t kMaxRank = 32;

// "[2, 3]".
std::string ShapeToString(absl::Span<const int64_t> shape);

// Product of the extents, 1 for a scalar. INVALID_ARGUMENT for a negative extent, a rank above kMaxRank or a product
// beyond int64 (of the extents that are not zero: an empty tensor must be sane as well).
absl::StatusOr<uint64_t> ElementCount(absl::Span<const int64_t> shape);

// Bytes of a tensor of that dtype and shape. INVALID_ARGUMENT as above, for kInvalid, and where sub-byte elements do
// not fill the last byte. The one place where sizes are computed: every format calls it before it allocates.
absl::StatusOr<uint64_t> ByteSize(Dtype dtype, absl::Span<const int64_t> shape);

// A box within a tensor: offset and extent per dimension. Both have the tensor's rank.
struct Box {
  std::vector<int64_t> offset;
  Shape extent;

  bool operator==(const Box&) const = default;

  // All of a tensor of that shape.
  static Box Whole(absl::Span<const int64_t> shape);
  // "[0:2, 3:6]" (first:last+1 per dimension); "[]" for a scalar. Of any box: an end beyond int64 stays a sum.
  std::string ToString() const;
};

// INVALID_ARGUMENT unless the box has the shape's rank and lies inside it.
absl::Status CheckBox(const Box& box, absl::Span<const int64_t> shape);

// True, with the common box, if the two share an element. Boxes of zero elements share none.
bool Intersect(const Box& a, const Box& b, Box* common);

// Whether boxes cover a tensor exactly.
struct Tiling {
  enum class Verdict { kExact, kHole, kOverlap };
  Verdict verdict = Verdict::kExact;
  Box box;        // Where the first hole is, or what is covered twice.
  size_t first = 0, second = 0;  // Of an overlap: the indices of the two boxes.
};

// Proves that `boxes` (each inside `shape`) cover every element of the tensor exactly once, or names a box where
// they do not: the fault that comes first in row-major order, but for boxes split in so many dimensions that they are
// compared in pairs. A tensor without elements is covered by any boxes. O(n log n) for the usual grids.
Tiling CheckTiling(absl::Span<const int64_t> shape, absl::Span<const Box> boxes);

}  // namespace cairn
