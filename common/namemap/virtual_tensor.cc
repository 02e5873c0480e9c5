#include "common/namemap/virtual_tensor.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

// Of one tensor: beyond this a permutation has torn it to single rows.
constexpr size_t kMaxPieces = 65'536;

int64_t Product(const std::vector<int64_t>& factors) {
  return std::accumulate(factors.begin(), factors.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

VirtualTensor VirtualTensor::Whole(size_t source_entry, Dtype dtype, Shape shape) {
  VirtualTensor tensor;
  tensor.dtype_ = dtype;
  for (const int64_t extent : shape) tensor.axes_.push_back({extent});
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return tensor;
  Piece piece{source_entry, Box::Whole(shape), std::vector<int64_t>(shape.size(), 1), 0};
  for (size_t i = shape.size(); i-- > 1;) piece.strides[i - 1] = piece.strides[i] * shape[i];
  tensor.pieces_.push_back(std::move(piece));
  return tensor;
}

Shape VirtualTensor::shape() const {
  Shape shape;
  for (const std::vector<int64_t>& axis : axes_) shape.push_back(Product(axis));
  return shape;
}

std::vector<int64_t> VirtualTensor::factors() const {
  std::vector<int64_t> factors;
  for (const std::vector<int64_t>& axis : axes_) factors.insert(factors.end(), axis.begin(), axis.end());
  return factors;
}

bool VirtualTensor::IsWhole() const {
  if (pieces_.empty()) return true;
  if (pieces_.size() != 1 || pieces_[0].offset != 0) return false;
  const std::vector<int64_t> extents = factors();
  if (pieces_[0].box != Box::Whole(extents)) return false;
  int64_t stride = 1;
  for (size_t i = extents.size(); i-- > 0;) {
    if (extents[i] != 1 && pieces_[0].strides[i] != stride) return false;
    stride *= extents[i];
  }
  return true;
}

size_t VirtualTensor::FirstFactor(size_t axis) const {
  size_t first = 0;
  for (size_t i = 0; i < axis; ++i) first += axes_[i].size();
  return first;
}

void VirtualTensor::CutFactor(size_t axis, size_t k, int64_t inner) {
  std::vector<int64_t>& factors = axes_[axis];
  const ptrdiff_t local = static_cast<ptrdiff_t>(k - FirstFactor(axis));
  factors[static_cast<size_t>(local)] /= inner;
  factors.insert(factors.begin() + local + 1, inner);
  std::vector<Piece> cut;
  cut.reserve(pieces_.size());
  for (const Piece& piece : pieces_) {
    const int64_t begin = piece.box.offset[k], end = begin + piece.box.extent[k], stride = piece.strides[k];
    // The end of one step of the outer factor, then whole steps, then the beginning of another.
    for (int64_t at = begin; at < end;) {
      int64_t next = at % inner != 0 || end - at < inner ? std::min(end, at - at % inner + inner) : end - end % inner;
      Piece part = piece;
      part.offset += (at - begin) * stride;
      const bool whole = next - at >= inner && at % inner == 0;
      const auto insert = [k](std::vector<int64_t>& list, int64_t outer_value, int64_t inner_value) {
        list[k] = outer_value;
        list.insert(list.begin() + static_cast<ptrdiff_t>(k) + 1, inner_value);
      };
      insert(part.box.offset, at / inner, whole ? 0 : at % inner);
      insert(part.box.extent, whole ? (next - at) / inner : 1, whole ? inner : next - at);
      insert(part.strides, stride * inner, stride);
      cut.push_back(std::move(part));
      at = next;
    }
  }
  pieces_ = std::move(cut);
}

absl::Status VirtualTensor::FuseFactors(size_t axis, size_t k) {
  std::vector<int64_t>& factors = axes_[axis];
  const size_t local = k - FirstFactor(axis);
  const int64_t inner = factors[local + 1];
  factors[local] *= inner;
  factors.erase(factors.begin() + static_cast<ptrdiff_t>(local) + 1);
  std::vector<Piece> fused;
  for (const Piece& piece : pieces_) {
    const int64_t steps = piece.box.extent[k];
    const bool even = piece.box.extent[k + 1] == inner && piece.strides[k] == piece.strides[k + 1] * inner;
    const int64_t count = even || steps == 1 ? 1 : steps;
    if (fused.size() + static_cast<size_t>(count) > kMaxPieces) {
      return absl::UnimplementedError(absl::StrCat("more than ", kMaxPieces, " pieces"));
    }
    for (int64_t i = 0; i < count; ++i) {
      Piece part = piece;
      part.offset += i * piece.strides[k];
      part.box.offset[k] = (piece.box.offset[k] + i) * inner + piece.box.offset[k + 1];
      part.box.extent[k] = even ? steps * inner : piece.box.extent[k + 1];
      part.strides[k] = piece.strides[k + 1];
      for (std::vector<int64_t>* list : {&part.box.offset, &part.box.extent, &part.strides}) {
        list->erase(list->begin() + static_cast<ptrdiff_t>(k) + 1);
      }
      fused.push_back(std::move(part));
    }
  }
  pieces_ = std::move(fused);
  return absl::OkStatus();
}

void VirtualTensor::InsertUnitFactor(size_t axis, size_t k) {
  axes_[axis].insert(axes_[axis].begin() + static_cast<ptrdiff_t>(k - FirstFactor(axis)), 1);
  for (Piece& piece : pieces_) {
    piece.box.offset.insert(piece.box.offset.begin() + static_cast<ptrdiff_t>(k), 0);
    piece.box.extent.insert(piece.box.extent.begin() + static_cast<ptrdiff_t>(k), 1);
    piece.strides.insert(piece.strides.begin() + static_cast<ptrdiff_t>(k), 0);
  }
}

void VirtualTensor::DropUnitFactors(size_t axis) {
  const size_t first = FirstFactor(axis);
  for (size_t i = axes_[axis].size(); i-- > 0;) {
    if (axes_[axis][i] != 1) continue;
    axes_[axis].erase(axes_[axis].begin() + static_cast<ptrdiff_t>(i));
    for (Piece& piece : pieces_) {
      for (std::vector<int64_t>* list : {&piece.box.offset, &piece.box.extent, &piece.strides}) {
        list->erase(list->begin() + static_cast<ptrdiff_t>(first + i));
      }
    }
  }
}

absl::Status VirtualTensor::Split(size_t axis, absl::Span<const int64_t> extents) {
  if (pieces_.empty()) return absl::InvalidArgumentError("a tensor without elements can only be renamed");
  DropUnitFactors(axis);
  std::vector<std::vector<int64_t>> split;
  size_t done = 0;
  for (const int64_t extent : extents) {
    int64_t rest = extent;
    const size_t begin = done;
    while (rest > 1) {
      const size_t k = FirstFactor(axis) + done;
      if (done == axes_[axis].size()) return absl::InternalError("axes do not fill the dimension");
      const int64_t factor = axes_[axis][done];
      if (rest % factor != 0) {
        if (factor % rest != 0) {
          return absl::UnimplementedError(
              absl::StrCat("an axis of ", extent, " would tear factors ", ShapeToString(axes_[axis]), " apart"));
        }
        CutFactor(axis, k, factor / rest);
      }
      rest /= axes_[axis][done++];
    }
    split.emplace_back(axes_[axis].begin() + static_cast<ptrdiff_t>(begin),
                       axes_[axis].begin() + static_cast<ptrdiff_t>(done));
  }
  if (done != axes_[axis].size()) return absl::InternalError("axes do not fill the dimension");
  axes_.erase(axes_.begin() + static_cast<ptrdiff_t>(axis));
  axes_.insert(axes_.begin() + static_cast<ptrdiff_t>(axis), split.begin(), split.end());
  return absl::OkStatus();
}

void VirtualTensor::Join(size_t first, size_t count) {
  std::vector<int64_t> joined;
  for (size_t i = first; i < first + count; ++i) joined.insert(joined.end(), axes_[i].begin(), axes_[i].end());
  const auto at = axes_.begin() + static_cast<ptrdiff_t>(first);
  axes_.insert(axes_.erase(at, at + static_cast<ptrdiff_t>(count)), std::move(joined));
}

void VirtualTensor::Permute(absl::Span<const size_t> order) {
  std::vector<size_t> factor_order;
  std::vector<std::vector<int64_t>> axes;
  for (const size_t axis : order) {
    for (size_t i = 0; i < axes_[axis].size(); ++i) factor_order.push_back(FirstFactor(axis) + i);
    axes.push_back(axes_[axis]);
  }
  axes_ = std::move(axes);
  for (Piece& piece : pieces_) {
    for (std::vector<int64_t>* list : {&piece.box.offset, &piece.box.extent, &piece.strides}) {
      std::vector<int64_t> permuted;
      for (const size_t k : factor_order) permuted.push_back((*list)[k]);
      *list = std::move(permuted);
    }
  }
}

absl::Status VirtualTensor::Slice(size_t axis, int64_t start, int64_t extent) {
  DropUnitFactors(axis);
  if (axes_[axis].empty()) return absl::OkStatus();  // Of extent 1: all of it.
  const size_t first = FirstFactor(axis);
  for (size_t i = 0; i < axes_[axis].size(); ++i) {
    // Steps of this factor that are kept; if it is one, a part of what lies inside may be.
    int64_t inner = 1;
    for (size_t j = i + 1; j < axes_[axis].size(); ++j) inner *= axes_[axis][j];
    const bool even = start % inner == 0 && extent % inner == 0;
    if (!even && start / inner != (start + extent - 1) / inner) {
      return absl::UnimplementedError(absl::StrCat("steps ", start, " to ", start + extent, " would tear factors ",
                                                   ShapeToString(axes_[axis]), " apart"));
    }
    const int64_t from = start / inner, steps = even ? extent / inner : 1;
    std::vector<Piece> kept;
    for (Piece& piece : pieces_) {
      int64_t& offset = piece.box.offset[first + i];
      int64_t& length = piece.box.extent[first + i];
      const int64_t begin = std::max(offset, from), end = std::min(offset + length, from + steps);
      if (begin >= end) continue;
      piece.offset += (begin - offset) * piece.strides[first + i];
      offset = begin - from;
      length = end - begin;
      kept.push_back(std::move(piece));
    }
    pieces_ = std::move(kept);
    axes_[axis][i] = steps;
    if (even) return absl::OkStatus();
    start -= from * inner;
  }
  return absl::OkStatus();
}

absl::Status VirtualTensor::Align(std::vector<VirtualTensor>& tensors, size_t axis) {
  for (VirtualTensor& tensor : tensors) tensor.DropUnitFactors(axis);
  for (size_t i = 0; i < tensors[0].axes_[axis].size(); ++i) {
    int64_t least = tensors[0].axes_[axis][i];
    for (const VirtualTensor& tensor : tensors) least = std::min(least, tensor.axes_[axis][i]);
    for (VirtualTensor& tensor : tensors) {
      const int64_t factor = tensor.axes_[axis][i];
      if (factor % least != 0) return absl::UnimplementedError("dimensions that were cut in different ways");
      if (factor != least) tensor.CutFactor(axis, tensor.FirstFactor(axis) + i, factor / least);
    }
  }
  return absl::OkStatus();
}

absl::Status VirtualTensor::AlignInner(std::vector<VirtualTensor>& tensors, size_t axis) {
  for (VirtualTensor& tensor : tensors) tensor.DropUnitFactors(axis);
  const auto outer_factors = [&](const VirtualTensor& tensor, size_t inner) {
    return tensor.axes_[axis].size() - inner;
  };
  size_t inner = 0;
  while (true) {
    int64_t least = 0;
    bool more = false, all_have = true, divides = true;
    for (const VirtualTensor& tensor : tensors) {
      const size_t outer = outer_factors(tensor, inner);
      more |= outer > 1;
      all_have &= outer > 0;
      if (outer > 0)
        least = least == 0 ? tensor.axes_[axis][outer - 1] : std::min(least, tensor.axes_[axis][outer - 1]);
    }
    if (!more || !all_have) break;
    for (const VirtualTensor& tensor : tensors)
      divides &= tensor.axes_[axis][outer_factors(tensor, inner) - 1] % least == 0;
    if (!divides) break;
    for (VirtualTensor& tensor : tensors) {
      const size_t innermost = outer_factors(tensor, inner) - 1;
      if (tensor.axes_[axis][innermost] != least) tensor.CutFactor(axis, tensor.FirstFactor(axis) + innermost, least);
    }
    ++inner;
  }
  for (VirtualTensor& tensor : tensors) {
    if (outer_factors(tensor, inner) == 0) tensor.InsertUnitFactor(axis, tensor.FirstFactor(axis));
    while (outer_factors(tensor, inner) > 1) {
      const size_t innermost = outer_factors(tensor, inner) - 1;
      CAIRN_RETURN_IF_ERROR(tensor.FuseFactors(axis, tensor.FirstFactor(axis) + innermost - 1));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<VirtualTensor> VirtualTensor::Concatenate(std::vector<VirtualTensor> tensors, size_t axis) {
  if (tensors.size() == 1) return std::move(tensors[0]);
  Shape shape = tensors[0].shape();
  for (const VirtualTensor& tensor : tensors) {
    Shape other = tensor.shape();
    other[axis] = shape[axis];
    if (other != shape || tensor.dtype_ != tensors[0].dtype_) {
      return absl::InvalidArgumentError(absl::StrCat("parts differ: ", DtypeName(tensors[0].dtype_), " ",
                                                     ShapeToString(shape), " and ", DtypeName(tensor.dtype_), " ",
                                                     ShapeToString(tensor.shape())));
    }
  }
  for (size_t i = 0; i < shape.size(); ++i) {
    CAIRN_RETURN_IF_ERROR(i == axis ? AlignInner(tensors, i) : Align(tensors, i));
  }
  VirtualTensor all = std::move(tensors[0]);
  const size_t k = all.FirstFactor(axis);
  for (size_t i = 1; i < tensors.size(); ++i) {
    for (Piece& piece : tensors[i].pieces_) {
      piece.box.offset[k] += all.axes_[axis][0];
      all.pieces_.push_back(std::move(piece));
    }
    all.axes_[axis][0] += tensors[i].axes_[axis][0];
  }
  if (all.pieces_.size() > kMaxPieces)
    return absl::UnimplementedError(absl::StrCat("more than ", kMaxPieces, " pieces"));
  return all;
}

}  // namespace cairn
