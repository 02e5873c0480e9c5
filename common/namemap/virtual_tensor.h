#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/tensor/dtype.h"
#include "common/tensor/shape.h"

namespace cairn {

// A tensor that is put together from parts of other tensors, as pure data: what a name map makes of a checkpoint.
// Nothing is read; splitting, permuting, slicing and joining move numbers, and may follow each other in any order.
//
// Each axis is a list of factors, outermost first ([heads, 2, half] for a dimension of heads * 2 * half): so what was
// permuted within a dimension can be told from its neighbours after the dimension is one again. Boxes and strides of
// pieces are over all factors of all axes, in order.
class VirtualTensor {
 public:
  // The elements of a source tensor (which lie row-major) that fill a box of this one.
  struct Piece {
    size_t source_entry = 0;
    Box box;
    std::vector<int64_t> strides;  // Elements of the source, per factor.
    int64_t offset = 0;            // Of the box's first element.
  };

  // All of a source entry, as it is. Tensors without elements have no pieces, and can be renamed only.
  static VirtualTensor Whole(size_t source_entry, Dtype dtype, Shape shape);

  Dtype dtype() const { return dtype_; }
  Shape shape() const;                   // Extent of each axis.
  std::vector<int64_t> factors() const;  // Of all axes, in order: the tensor's row-major order is theirs.
  const std::vector<Piece>& pieces() const { return pieces_; }
  // One piece that is all of a source entry in its own order.
  bool IsWhole() const;

  // Cuts an axis into axes of these extents, whose product is the axis'.
  absl::Status Split(size_t axis, absl::Span<const int64_t> extents);
  // Makes `count` axes from `first` on one axis; an axis of extent 1 where count is 0.
  void Join(size_t first, size_t count);
  // Axis i becomes what was axis order[i]; `order` is a permutation.
  void Permute(absl::Span<const size_t> order);
  // Keeps [start, start + extent) of an axis.
  absl::Status Slice(size_t axis, int64_t start, int64_t extent);
  // Tensors of one dtype and, but for `axis`, one shape, one after the other along it.
  static absl::StatusOr<VirtualTensor> Concatenate(std::vector<VirtualTensor> tensors, size_t axis);

 private:
  size_t FirstFactor(size_t axis) const;
  // Cuts factor k (over all axes) into an outer one and an inner one of that extent, which divides it.
  void CutFactor(size_t axis, size_t k, int64_t inner);
  // Joins factors k and k + 1, which belong to one axis: pieces that do not lie evenly become several.
  absl::Status FuseFactors(size_t axis, size_t k);
  void InsertUnitFactor(size_t axis, size_t k);
  void DropUnitFactors(size_t axis);
  // Cuts factors until the axis has the same ones in all tensors.
  static absl::Status Align(std::vector<VirtualTensor>& tensors, size_t axis);
  // The same for the inner factors of the axis along which tensors are joined; one outer factor is left in each.
  static absl::Status AlignInner(std::vector<VirtualTensor>& tensors, size_t axis);

  Dtype dtype_ = Dtype::kInvalid;
  std::vector<std::vector<int64_t>> axes_;
  std::vector<Piece> pieces_;
};

}  // namespace cairn
