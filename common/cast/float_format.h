#pragma once

#include <cstdint>
#include <optional>

#include "common/tensor/dtype.h"

namespace cairn::cast_internal {

// What a binary float format does with the codes that are no ordinary numbers.
enum class Specials : uint8_t {
  kIeee,       // All-ones exponent: infinity and NaN.
  kNanOnly,    // fn: no infinity; NaN is all ones behind the sign.
  kFnuz,       // No infinity, no minus zero: its code is the one NaN.
  kNone,       // Finite values only.
  kScale,      // e8m0fnu: an exponent alone; no sign, no zero; all ones is NaN.
};

// A float dtype as sign, exponent and mantissa bits, from the most significant down.
struct FloatFormat {
  int exponent_bits;
  int mantissa_bits;
  int bias;
  Specials specials;
  int bytes;  // Of one element; codes shorter than that lie in the low bits.

  int sign_shift() const { return exponent_bits + mantissa_bits; }
  uint64_t exponent_mask() const { return (uint64_t{1} << exponent_bits) - 1; }
  uint64_t mantissa_mask() const { return (uint64_t{1} << mantissa_bits) - 1; }
};

// Nothing for dtypes that are no floats.
std::optional<FloatFormat> FloatFormatOf(Dtype dtype);

// A float64 code (every supported format fits in one exactly) -> the nearest code of `to`, ties to even; and back.
uint64_t EncodeFloat(const FloatFormat& to, uint64_t float64_code);
uint64_t DecodeFloat(const FloatFormat& from, uint64_t code);

}  // namespace cairn::cast_internal
