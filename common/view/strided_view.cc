#include "common/view/strided_view.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/checked_math.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

bool IsEmpty(absl::Span<const int64_t> shape) { return std::find(shape.begin(), shape.end(), 0) != shape.end(); }

// The storage's element after the last one that the view touches; nothing if that is beyond 64 bits.
std::optional<uint64_t> EndElement(const StridedView& view) {
  std::optional<uint64_t> end = CheckedAdd(static_cast<uint64_t>(view.offset), 1);
  for (size_t i = 0; i < view.shape.size() && end.has_value(); ++i) {
    const std::optional<uint64_t> reach =
        CheckedMul(static_cast<uint64_t>(view.shape[i]) - 1, static_cast<uint64_t>(view.strides[i]));
    if (!reach.has_value()) return std::nullopt;
    end = CheckedAdd(*end, *reach);
  }
  return end;
}

}  // namespace

StridedView StridedView::RowMajor(Shape shape, uint32_t element_size, int64_t offset) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * std::max<int64_t>(shape[i], 1);
  return {std::move(shape), std::move(strides), offset, element_size};
}

StridedView StridedView::ColumnMajor(Shape shape, uint32_t element_size, int64_t offset) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = 1; i < shape.size(); ++i) strides[i] = strides[i - 1] * std::max<int64_t>(shape[i - 1], 1);
  return {std::move(shape), std::move(strides), offset, element_size};
}

std::string StridedView::ToString() const {
  return absl::StrCat("shape ", ShapeToString(shape), ", strides ", ShapeToString(strides), ", offset ", offset);
}

absl::Status CheckView(const StridedView& view, uint64_t storage_elements) {
  if (view.strides.size() != view.shape.size()) {
    return absl::InvalidArgumentError(absl::StrCat("expected one stride per dimension, found ", view.ToString()));
  }
  if (view.element_size == 0) return absl::InvalidArgumentError("expected elements of at least one byte, found 0");
  CAIRN_ASSIGN_OR_RETURN(const uint64_t elements, ElementCount(view.shape));
  if (!CheckedMul(elements, view.element_size).has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("more bytes than 64 bits can count: ", view.ToString()));
  }
  const bool negative_stride =
      std::any_of(view.strides.begin(), view.strides.end(), [](int64_t stride) { return stride < 0; });
  if (view.offset < 0 || negative_stride) {
    return absl::InvalidArgumentError(
        absl::StrCat("negative strides and offsets are not supported: ", view.ToString()));
  }
  const bool empty = IsEmpty(view.shape);
  const std::optional<uint64_t> end = empty ? static_cast<uint64_t>(view.offset) : EndElement(view);
  if (!end.has_value() || *end > storage_elements) {
    return absl::InvalidArgumentError(
        absl::StrCat("the view leaves its storage of ", storage_elements, " elements: ", view.ToString()));
  }
  return absl::OkStatus();
}

uint64_t ViewBytes(const StridedView& view) {
  uint64_t bytes = view.element_size;
  for (const int64_t extent : view.shape) bytes *= static_cast<uint64_t>(extent);
  return bytes;
}

StridedView Coalesced(const StridedView& view) {
  StridedView joined{{}, {}, view.offset, view.element_size};
  if (IsEmpty(view.shape)) {
    joined.shape = {0};
    joined.strides = {1};
    return joined;
  }
  for (size_t i = 0; i < view.shape.size(); ++i) {
    if (view.shape[i] == 1) continue;
    // Multiplication in 128 bits: an outer dimension of one row may have any stride.
    const __int128 reach = static_cast<__int128>(view.strides[i]) * view.shape[i];
    if (!joined.shape.empty() && joined.strides.back() == reach) {
      joined.shape.back() *= view.shape[i];
      joined.strides.back() = view.strides[i];
    } else {
      joined.shape.push_back(view.shape[i]);
      joined.strides.push_back(view.strides[i]);
    }
  }
  return joined;
}

bool IsContiguous(const StridedView& view) {
  const StridedView joined = Coalesced(view);
  return joined.shape.empty() || (joined.shape.size() == 1 && joined.strides[0] == 1);
}

absl::StatusOr<StridedView> Permuted(const StridedView& view, absl::Span<const size_t> axes) {
  std::vector<bool> seen(view.shape.size());
  StridedView permuted{{}, {}, view.offset, view.element_size};
  for (const size_t axis : axes) {
    if (axis >= seen.size() || seen[axis]) break;
    seen[axis] = true;
    permuted.shape.push_back(view.shape[axis]);
    permuted.strides.push_back(view.strides[axis]);
  }
  if (permuted.shape.size() != view.shape.size() || axes.size() != view.shape.size()) {
    return absl::InvalidArgumentError(absl::StrCat("no permutation of ", view.shape.size(), " dimensions: ",
                                                   ShapeToString(std::vector<int64_t>(axes.begin(), axes.end()))));
  }
  return permuted;
}

absl::StatusOr<StridedView> Sliced(const StridedView& view, const Box& box) {
  CAIRN_RETURN_IF_ERROR(CheckBox(box, view.shape));
  StridedView sliced{box.extent, view.strides, view.offset, view.element_size};
  if (IsEmpty(box.extent)) return sliced;
  for (size_t i = 0; i < box.offset.size(); ++i) sliced.offset += box.offset[i] * view.strides[i];
  return sliced;
}

}  // namespace cairn
