#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "common/tensor/shape.h"

namespace cairn {

// Copies elements of a strided array in memory into a row-major run: a blocked transpose where the array's dense
// dimension is not the last one, memcpy where it is.
class Gather {
 public:
  // Strides count elements and are not negative.
  Gather(Shape shape, std::vector<int64_t> strides, uint32_t element_size);

  // Elements [first, first + count) of the array's row-major order, to `dst`, from an array whose element (0, 0, ...)
  // is at `array`. The caller has made sure that they are inside; neither pointer needs to be aligned.
  void Copy(const char* array, uint64_t first, uint64_t count, char* dst) const;

 private:
  template <typename Element>
  void CopyAs(const char* array, uint64_t first, uint64_t count, char* dst) const;
  // Columns [first, last) of rows [row, row + rows) of one plane.
  template <typename Element>
  void CopyRows(const char* plane, uint64_t row, uint64_t rows, uint64_t first, uint64_t last, char* dst) const;
  int64_t PlaneOffset(uint64_t plane) const;

  // The dense dimension cuts the others in two: the array is planes of rows_ rows of columns_ elements each, where
  // rows lie row_stride_ apart, and columns and planes anywhere.
  uint32_t element_size_;
  Shape outer_shape_;
  std::vector<int64_t> outer_strides_;
  uint64_t rows_ = 1;
  int64_t row_stride_ = 0;
  uint64_t columns_ = 1;
  Shape column_shape_;
  std::vector<int64_t> column_strides_;
};

}  // namespace cairn
