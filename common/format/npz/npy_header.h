#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/io/byte_source.h"
#include "common/tensor/dtype.h"
#include "common/tensor/shape.h"

namespace cairn {

// What a .npy file says of its array.
struct NpyHeader {
  enum class Kind { kNumbers, kText, kBytes };
  Kind kind = Kind::kNumbers;
  Dtype dtype = Dtype::kInvalid;  // kNumbers.
  // Bytes of what a byte order applies to: half of a complex number, one character of a text.
  uint32_t unit_bytes = 1;
  bool big_endian = false;
  bool fortran_order = false;
  Shape shape;
  uint64_t data_offset = 0;
  uint64_t byte_size = 0;  // Of the array. It ends where the file ends.
};

// Reads the header and proves that the array fills the rest of the file. INVALID_ARGUMENT naming the file for anything
// else, and for arrays that are no tensors: Python objects, records, dates, void, and texts with dimensions.
absl::StatusOr<NpyHeader> ReadNpyHeader(const ByteSource& file);

// "<f4". Empty for a dtype that NumPy has no name for.
absl::string_view NpyTypeName(Dtype dtype);

// The first bytes of the file of such an array, as NumPy writes them. `dtype` has a name.
std::string SerializeNpyHeader(Dtype dtype, absl::Span<const int64_t> shape);

}  // namespace cairn
