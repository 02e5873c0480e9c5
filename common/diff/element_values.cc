#include "common/diff/element_values.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "common/cast/cast.h"

namespace cairn::diff_internal {
namespace {

template <class T>
void LoadAs(absl::string_view bytes, double* values) {
  const size_t count = bytes.size() / sizeof(T);
  for (size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = static_cast<double>(value);
  }
}

// The lowest bits of each byte, with or without a sign.
void LoadSmallIntegers(absl::string_view bytes, int bits, bool is_signed, double* values) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    int value = static_cast<uint8_t>(bytes[i]) & ((1 << bits) - 1);
    if (is_signed && value >= 1 << (bits - 1)) value -= 1 << bits;
    values[i] = value;
  }
}

void LoadFloats(Dtype dtype, absl::string_view bytes, double* values) {
  constexpr size_t kBlock = 1024;
  std::array<float, kBlock> block;
  const size_t size = static_cast<size_t>(BitWidth(dtype)) / 8;
  const size_t count = bytes.size() / size;
  for (size_t done = 0; done < count;) {
    const size_t length = std::min(kBlock, count - done);
    // Cannot fail: sizes fit, and every float has a cast.
    CastElements(dtype, bytes.substr(done * size, length * size), Dtype::kFloat32,
                 absl::MakeSpan(reinterpret_cast<char*>(block.data()), length * sizeof(float)))
        .IgnoreError();
    for (size_t i = 0; i < length; ++i) values[done + i] = block[i];
    done += length;
  }
}

}  // namespace

bool HasValues(Dtype dtype) {
  switch (dtype) {
    case Dtype::kInvalid:
    case Dtype::kF4Packed:
    case Dtype::kF6E2M3Packed:
    case Dtype::kF6E3M2Packed:
      return false;
    default:
      return true;
  }
}

size_t ValuesPerElement(Dtype dtype) { return dtype == Dtype::kComplex64 || dtype == Dtype::kComplex128 ? 2 : 1; }

void LoadValues(Dtype dtype, absl::string_view bytes, double* values) {
  switch (dtype) {
    case Dtype::kBool:
    case Dtype::kUint8:
      return LoadAs<uint8_t>(bytes, values);
    case Dtype::kInt8:
      return LoadAs<int8_t>(bytes, values);
    case Dtype::kInt16:
      return LoadAs<int16_t>(bytes, values);
    case Dtype::kInt32:
      return LoadAs<int32_t>(bytes, values);
    case Dtype::kInt64:
      return LoadAs<int64_t>(bytes, values);
    case Dtype::kUint16:
      return LoadAs<uint16_t>(bytes, values);
    case Dtype::kUint32:
      return LoadAs<uint32_t>(bytes, values);
    case Dtype::kUint64:
      return LoadAs<uint64_t>(bytes, values);
    case Dtype::kFloat32:
    case Dtype::kComplex64:
      return LoadAs<float>(bytes, values);
    case Dtype::kFloat64:
    case Dtype::kComplex128:
      return LoadAs<double>(bytes, values);
    case Dtype::kInt4:
    case Dtype::kUint4:
      return LoadSmallIntegers(bytes, 4, dtype == Dtype::kInt4, values);
    case Dtype::kInt2:
    case Dtype::kUint2:
      return LoadSmallIntegers(bytes, 2, dtype == Dtype::kInt2, values);
    default:
      return LoadFloats(dtype, bytes, values);
  }
}

}  // namespace cairn::diff_internal
