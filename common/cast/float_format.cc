#include "common/cast/float_format.h"

#include <bit>

namespace cairn::cast_internal {
namespace {

constexpr int kWideMantissa = 52;
constexpr int kWideBias = 1023;
constexpr uint64_t kWideMantissaMask = (uint64_t{1} << kWideMantissa) - 1;
constexpr uint64_t kWideExponent = uint64_t{0x7ff} << kWideMantissa;
constexpr uint64_t kWideQuiet = uint64_t{1} << (kWideMantissa - 1);

// value / 2^shift, rounded to nearest, ties to even.
uint64_t ShiftRounding(uint64_t value, int shift) {
  if (shift <= 0) return value << -shift;
  if (shift > 63) return 0;
  const uint64_t half = uint64_t{1} << (shift - 1);
  const uint64_t rest = value & ((half << 1) - 1);
  uint64_t quotient = value >> shift;
  if (rest > half || (rest == half && (quotient & 1))) ++quotient;
  return quotient;
}

uint64_t LargestFinite(const FloatFormat& format) {
  const uint64_t all = (uint64_t{1} << format.sign_shift()) - 1;
  switch (format.specials) {
    case Specials::kIeee:
      return (format.exponent_mask() << format.mantissa_bits) - 1;
    case Specials::kNanOnly:
      return all - 1;
    case Specials::kFnuz:
    case Specials::kNone:
    case Specials::kScale:
      return all;
  }
  return all;
}

uint64_t NanCode(const FloatFormat& format, uint64_t sign, uint64_t wide_payload) {
  const uint64_t all = (uint64_t{1} << format.sign_shift()) - 1;
  switch (format.specials) {
    case Specials::kIeee: {
      const uint64_t quiet = uint64_t{1} << (format.mantissa_bits - 1);
      const uint64_t payload = wide_payload >> (kWideMantissa - format.mantissa_bits);
      return sign << format.sign_shift() | format.exponent_mask() << format.mantissa_bits | quiet | payload;
    }
    case Specials::kNanOnly:
      return sign << format.sign_shift() | all;
    case Specials::kFnuz:
      return uint64_t{1} << format.sign_shift();
    case Specials::kNone:
      return sign << format.sign_shift() | all;
    case Specials::kScale:
      return 0xff;
  }
  return all;
}

// What infinity, and finite values beyond the largest, become.
uint64_t OverflowCode(const FloatFormat& format, uint64_t sign) {
  if (format.specials == Specials::kIeee) {
    return sign << format.sign_shift() | format.exponent_mask() << format.mantissa_bits;
  }
  return NanCode(format, sign, 0);
}

// e8m0fnu: 2^(code - 127), codes 0 to 254.
uint64_t EncodeScale(uint64_t wide) {
  constexpr uint64_t kNan = 0xff;
  const uint64_t magnitude = wide & ~(uint64_t{1} << 63);
  if (wide >> 63 || magnitude == 0 || magnitude >= kWideExponent) return kNan;
  int exponent = static_cast<int>(magnitude >> kWideMantissa) - kWideBias;
  if (exponent == -kWideBias) return 0;  // A float64 subnormal: far below 2^-127.
  const uint64_t mantissa = magnitude & kWideMantissaMask;
  // Between two powers of two the middle is 1.5. The last bit kept is the implied one, which is odd: a tie goes up.
  const uint64_t half = uint64_t{1} << (kWideMantissa - 1);
  if (mantissa >= half) ++exponent;
  if (exponent > 127) return kNan;
  return exponent < -127 ? 0 : static_cast<uint64_t>(exponent + 127);
}

}  // namespace

std::optional<FloatFormat> FloatFormatOf(Dtype dtype) {
  switch (dtype) {
    case Dtype::kFloat16:
      return FloatFormat{5, 10, 15, Specials::kIeee, 2};
    case Dtype::kBfloat16:
      return FloatFormat{8, 7, 127, Specials::kIeee, 2};
    case Dtype::kFloat32:
      return FloatFormat{8, 23, 127, Specials::kIeee, 4};
    case Dtype::kFloat64:
      return FloatFormat{11, 52, 1023, Specials::kIeee, 8};
    case Dtype::kFloat8E4M3Fn:
      return FloatFormat{4, 3, 7, Specials::kNanOnly, 1};
    case Dtype::kFloat8E5M2:
      return FloatFormat{5, 2, 15, Specials::kIeee, 1};
    case Dtype::kFloat8E4M3B11Fnuz:
      return FloatFormat{4, 3, 11, Specials::kFnuz, 1};
    case Dtype::kFloat8E4M3Fnuz:
      return FloatFormat{4, 3, 8, Specials::kFnuz, 1};
    case Dtype::kFloat8E5M2Fnuz:
      return FloatFormat{5, 2, 16, Specials::kFnuz, 1};
    case Dtype::kFloat8E8M0Fnu:
      return FloatFormat{8, 0, 127, Specials::kScale, 1};
    case Dtype::kFloat8E3M4:
      return FloatFormat{3, 4, 3, Specials::kIeee, 1};
    case Dtype::kFloat8E4M3:
      return FloatFormat{4, 3, 7, Specials::kIeee, 1};
    case Dtype::kFloat6E2M3Fn:
      return FloatFormat{2, 3, 1, Specials::kNone, 1};
    case Dtype::kFloat6E3M2Fn:
      return FloatFormat{3, 2, 3, Specials::kNone, 1};
    case Dtype::kFloat4E2M1Fn:
      return FloatFormat{2, 1, 1, Specials::kNone, 1};
    default:
      return std::nullopt;
  }
}

uint64_t EncodeFloat(const FloatFormat& to, uint64_t wide) {
  if (to.specials == Specials::kScale) return EncodeScale(wide);
  const uint64_t sign = wide >> 63;
  const uint64_t magnitude = wide & ~(uint64_t{1} << 63);
  if (magnitude > kWideExponent) return NanCode(to, sign, magnitude & kWideMantissaMask);
  if (magnitude == kWideExponent) return OverflowCode(to, sign);

  // The value is significand * 2^(exponent - 52).
  int exponent = static_cast<int>(magnitude >> kWideMantissa);
  uint64_t significand = magnitude & kWideMantissaMask;
  if (exponent == 0) {
    exponent = 1;
  } else {
    significand |= uint64_t{1} << kWideMantissa;
  }
  exponent -= kWideBias;

  // As a code, exponent and mantissa count up together: one rounding shift serves normals and subnormals, and a carry
  // runs into the exponent by itself.
  const int least = 1 - to.bias;  // Exponent of the smallest normal.
  uint64_t code;
  if (significand == 0) {
    code = 0;
  } else if (exponent < least) {
    code = ShiftRounding(significand, kWideMantissa - to.mantissa_bits + (least - exponent));
  } else if (exponent - least > static_cast<int>(to.exponent_mask()) + 1) {
    return OverflowCode(to, sign);
  } else if (to.mantissa_bits == kWideMantissa) {
    code = magnitude;
  } else {
    code = ShiftRounding(significand, kWideMantissa - to.mantissa_bits) +
           (static_cast<uint64_t>(exponent - least) << to.mantissa_bits);
  }
  if (code > LargestFinite(to)) return OverflowCode(to, sign);
  if (code == 0 && to.specials == Specials::kFnuz) return 0;  // No minus zero there.
  return sign << to.sign_shift() | code;
}

uint64_t DecodeFloat(const FloatFormat& from, uint64_t code) {
  if (from.specials == Specials::kScale) {
    if (code == 0xff) return kWideExponent | kWideQuiet;
    return (code - 127 + kWideBias) << kWideMantissa;
  }
  const uint64_t sign = (code >> from.sign_shift() & 1) << 63;
  const uint64_t magnitude = code & ((uint64_t{1} << from.sign_shift()) - 1);
  uint64_t exponent = magnitude >> from.mantissa_bits;
  uint64_t mantissa = magnitude & from.mantissa_mask();
  if (from.specials == Specials::kIeee && exponent == from.exponent_mask()) {
    if (mantissa == 0) return sign | kWideExponent;
    return sign | kWideExponent | kWideQuiet | mantissa << (kWideMantissa - from.mantissa_bits);
  }
  if (from.specials == Specials::kNanOnly && magnitude == (uint64_t{1} << from.sign_shift()) - 1) {
    return sign | kWideExponent | kWideQuiet;
  }
  if (from.specials == Specials::kFnuz && sign != 0 && magnitude == 0) return kWideExponent | kWideQuiet;
  if (from.mantissa_bits == kWideMantissa) return sign | magnitude;
  if (exponent == 0) {
    if (mantissa == 0) return sign;
    // A subnormal of a narrower format is a normal float64.
    const int shift = from.mantissa_bits - (63 - std::countl_zero(mantissa));
    mantissa = (mantissa << shift) & from.mantissa_mask();
    const uint64_t wide = static_cast<uint64_t>(1 - from.bias - shift + kWideBias);
    return sign | wide << kWideMantissa | mantissa << (kWideMantissa - from.mantissa_bits);
  }
  exponent += static_cast<uint64_t>(kWideBias - from.bias);
  return sign | exponent << kWideMantissa | mantissa << (kWideMantissa - from.mantissa_bits);
}

}  // namespace cairn::cast_internal
