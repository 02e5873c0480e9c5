#include "common/view/gather.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/view/strided_view.h"

namespace cairn {
namespace {

struct Bytes16 {
  uint64_t low, high;
};

// Bytes per block of columns and of rows: whole cache lines are written, and the lines that are read are used up
// while they are still in the first-level cache, also where rows lie a power of two apart.
constexpr uint64_t kColumnBlockBytes = 128;
constexpr uint64_t kRowBlockBytes = 64;
constexpr uint64_t kMaxColumnBlock = kColumnBlockBytes;

template <typename Element>
Element Load(const char* from) {
  Element element;
  std::memcpy(&element, from, sizeof(Element));
  return element;
}

// The offset of a flat row-major index.
int64_t OffsetOf(uint64_t index, const Shape& shape, const std::vector<int64_t>& strides) {
  int64_t offset = 0;
  for (size_t i = shape.size(); i-- > 0;) {
    const uint64_t extent = static_cast<uint64_t>(shape[i]);
    offset += static_cast<int64_t>(index % extent) * strides[i];
    index /= extent;
  }
  return offset;
}

}  // namespace

Gather::Gather(Shape shape, std::vector<int64_t> strides, uint32_t element_size) : element_size_(element_size) {
  const StridedView view = Coalesced({std::move(shape), std::move(strides), 0, element_size});
  const size_t rank = view.shape.size();
  if (rank == 0) return;
  size_t dense = rank - 1;
  for (size_t i = rank; i-- > 0;) {
    if (view.strides[i] == 0) continue;
    if (view.strides[dense] == 0 || view.strides[i] < view.strides[dense]) dense = i;
  }
  outer_shape_.assign(view.shape.begin(), view.shape.begin() + static_cast<ptrdiff_t>(dense));
  outer_strides_.assign(view.strides.begin(), view.strides.begin() + static_cast<ptrdiff_t>(dense));
  if (dense == rank - 1) {
    // The rows of what is dense already are its columns.
    columns_ = static_cast<uint64_t>(view.shape[dense]);
    column_shape_ = {view.shape[dense]};
    column_strides_ = {view.strides[dense]};
    if (dense > 0) {
      rows_ = static_cast<uint64_t>(outer_shape_.back());
      row_stride_ = outer_strides_.back();
      outer_shape_.pop_back();
      outer_strides_.pop_back();
    }
    return;
  }
  rows_ = static_cast<uint64_t>(view.shape[dense]);
  row_stride_ = view.strides[dense];
  column_shape_.assign(view.shape.begin() + static_cast<ptrdiff_t>(dense) + 1, view.shape.end());
  column_strides_.assign(view.strides.begin() + static_cast<ptrdiff_t>(dense) + 1, view.strides.end());
  for (const int64_t extent : column_shape_) columns_ *= static_cast<uint64_t>(extent);
}

void Gather::Copy(const char* array, uint64_t first, uint64_t count, char* dst) const {
  switch (element_size_) {
    case 1:
      return CopyAs<uint8_t>(array, first, count, dst);
    case 2:
      return CopyAs<uint16_t>(array, first, count, dst);
    case 4:
      return CopyAs<uint32_t>(array, first, count, dst);
    case 8:
      return CopyAs<uint64_t>(array, first, count, dst);
    case 16:
      return CopyAs<Bytes16>(array, first, count, dst);
    default:
      break;
  }
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t column = (first + i) % columns_, row = (first + i) / columns_ % rows_;
    const int64_t offset = OffsetOf((first + i) / columns_ / rows_, outer_shape_, outer_strides_) +
                           static_cast<int64_t>(row) * row_stride_ + OffsetOf(column, column_shape_, column_strides_);
    std::memcpy(dst + i * element_size_, array + offset * element_size_, element_size_);
  }
}

template <typename Element>
void Gather::CopyAs(const char* array, uint64_t first, uint64_t count, char* dst) const {
  while (count > 0) {
    const uint64_t column = first % columns_, row = first / columns_ % rows_;
    const int64_t offset = OffsetOf(first / columns_ / rows_, outer_shape_, outer_strides_);
    const char* plane = array + offset * static_cast<int64_t>(sizeof(Element));
    uint64_t done;
    if (column != 0 || count < columns_) {
      done = std::min(columns_ - column, count);
      CopyRows<Element>(plane, row, 1, column, column + done, dst);
    } else {
      const uint64_t rows = std::min(rows_ - row, count / columns_);
      done = rows * columns_;
      CopyRows<Element>(plane, row, rows, 0, columns_, dst);
    }
    first += done;
    count -= done;
    dst += done * sizeof(Element);
  }
}

template <typename Element>
void Gather::CopyRows(const char* plane, uint64_t row, uint64_t rows, uint64_t first, uint64_t last, char* dst) const {
  constexpr int64_t kSize = sizeof(Element);
  constexpr uint64_t kColumns = std::max<uint64_t>(kColumnBlockBytes / sizeof(Element), 16);
  constexpr uint64_t kRows = std::max<uint64_t>(kRowBlockBytes / sizeof(Element), 8);
  static_assert(kColumns <= kMaxColumnBlock);
  plane += static_cast<int64_t>(row) * row_stride_ * kSize;
  const uint64_t width = last - first;  // Rows of `dst` are all of the plane's, or there is one.
  if (column_strides_.size() == 1 && column_strides_[0] == 1) {
    for (uint64_t i = 0; i < rows; ++i) {
      std::memcpy(dst + i * width * kSize,
                  plane + (static_cast<int64_t>(i) * row_stride_ + static_cast<int64_t>(first)) * kSize, width * kSize);
    }
    return;
  }
  std::array<int64_t, kColumns> offsets;
  for (uint64_t column = first; column < last; column += kColumns) {
    const uint64_t columns = std::min(kColumns, last - column);
    for (uint64_t j = 0; j < columns; ++j) {
      offsets[j] = OffsetOf(column + j, column_shape_, column_strides_) * kSize;
    }
    char* out = dst + (column - first) * kSize;
    for (uint64_t i = 0; i < rows; i += kRows) {
      const uint64_t block_rows = std::min(kRows, rows - i);
      for (uint64_t r = i; r < i + block_rows; ++r) {
        const char* from = plane + static_cast<int64_t>(r) * row_stride_ * kSize;
        char* to = out + r * width * kSize;
        for (uint64_t j = 0; j < columns; ++j) {
          const Element element = Load<Element>(from + offsets[j]);
          std::memcpy(to + j * kSize, &element, kSize);
        }
      }
    }
  }
}

}  // namespace cairn
