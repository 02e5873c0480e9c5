#include "common/cast/float8_kernels.h"

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>

#include "common/cast/cast.h"
#include "common/cast/float_format.h"

// Byte permutes of 128-entry tables (AVX-512 VBMI) come with this target.
#ifndef HWY_WANT_AVX3_DL
#define HWY_WANT_AVX3_DL
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/cast/float8_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "common/cast/map_lanes-inl.h"

#ifndef CAIRN_COMMON_CAST_FLOAT8_TABLE
#define CAIRN_COMMON_CAST_FLOAT8_TABLE
namespace cairn::cast_internal {

// The upper 16 bits of the float32 of each code, which are all that an 8-bit float needs: low bytes, high bytes.
struct alignas(64) Float8Table {
  uint8_t low[256];
  uint8_t high[256];
};

}  // namespace cairn::cast_internal
#endif

HWY_BEFORE_NAMESPACE();
namespace cairn::cast_internal::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D32 = hn::ScalableTag<uint32_t>;
using V32 = hn::Vec<D32>;
using D8 = hn::Rebind<uint8_t, D32>;

// A format as constants of the compiler.
template <int kExponentBits, int kMantissaBits, int kBias, Specials kSpecials>
struct Float8 {
  static constexpr int kMantissa = kMantissaBits;
  static constexpr Specials kKind = kSpecials;
  // Exponent fields of float32: of the smallest normal number here, and of one that certainly overflows.
  static constexpr uint32_t kLeast = 127 + 1 - kBias;
  static constexpr uint32_t kBeyond = kLeast + (1u << kExponentBits) + 1;
  static constexpr uint32_t kInfinity = ((1u << kExponentBits) - 1) << kMantissaBits;  // Of kIeee.
  static constexpr uint32_t kLargest =
      kSpecials == Specials::kIeee ? kInfinity - 1 : (kSpecials == Specials::kNanOnly ? 0x7e : 0x7f);
};

// Adding a power of two whose unit in the last place is that of the result makes the float unit round, to nearest and
// ties to even, normal and subnormal results alike: the low bits of the sum are then the significand. Operands that
// the unit may flush are too small to matter.
template <class F>
HWY_INLINE V32 Narrow8(D32 d, V32 bits) {
  const hn::RebindToFloat<D32> df;
  constexpr int kShift = 23 - F::kMantissa;
  const V32 all = hn::And(bits, hn::Set(d, 0x7fffffffu));
  const V32 magnitude = hn::Min(all, hn::Set(d, F::kBeyond << 23));
  const V32 exponent = hn::Max(hn::And(magnitude, hn::Set(d, 0x7f800000u)), hn::Set(d, F::kLeast << 23));
  const V32 magic = hn::Add(exponent, hn::Set(d, static_cast<uint32_t>(kShift) << 23));
  const V32 sum = hn::BitCast(d, hn::Add(hn::BitCast(df, magnitude), hn::BitCast(df, magic)));
  V32 code = hn::Add(hn::Sub(sum, magic), hn::ShiftRight<kShift>(hn::Sub(exponent, hn::Set(d, F::kLeast << 23))));
  V32 sign = hn::And(hn::ShiftRight<24>(bits), hn::Set(d, 0x80u));
  if constexpr (F::kKind == Specials::kIeee) {
    const V32 infinity = hn::Set(d, F::kInfinity);
    const V32 quiet = hn::Set(d, F::kInfinity | 1u << (F::kMantissa - 1));
    const V32 payload = hn::And(hn::ShiftRight<kShift>(all), hn::Set(d, (1u << F::kMantissa) - 1));
    code = hn::Min(code, infinity);
    code = hn::IfThenElse(hn::Gt(all, hn::Set(d, 0x7f800000u)), hn::Or(quiet, payload), code);
  } else if constexpr (F::kKind == Specials::kNanOnly) {
    code = hn::Min(code, hn::Set(d, 0x7fu));
  } else {
    sign = hn::IfThenZeroElse(hn::Eq(code, hn::Zero(d)), sign);
    const auto beyond = hn::Gt(code, hn::Set(d, F::kLargest));
    return hn::IfThenElse(beyond, hn::Set(d, 0x80u), hn::Or(code, sign));
  }
  return hn::Or(code, sign);
}

template <class F>
HWY_INLINE V32 Widen8(D32 d, V32 bits) {
  const hn::RebindToFloat<D32> df;
  const hn::RebindToSigned<D32> di;
  constexpr int kShift = 23 - F::kMantissa;
  V32 sign = hn::ShiftLeft<24>(hn::And(bits, hn::Set(d, 0x80u)));
  const V32 magnitude = hn::And(bits, hn::Set(d, 0x7fu));
  const V32 normal = hn::Add(hn::ShiftLeft<kShift>(magnitude), hn::Set(d, (F::kLeast - 1) << 23));
  // A subnormal is an integer times the smallest of them.
  const auto unit = hn::BitCast(df, hn::Set(d, (F::kLeast - F::kMantissa) << 23));
  const V32 subnormal = hn::BitCast(d, hn::Mul(hn::ConvertTo(df, hn::BitCast(di, magnitude)), unit));
  V32 result = hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 1u << F::kMantissa)), subnormal, normal);
  if constexpr (F::kKind == Specials::kIeee) {
    const V32 special = hn::Or(hn::ShiftLeft<kShift>(magnitude), hn::Set(d, 0x7f800000u));
    result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(d, F::kInfinity - 1)), special, result);
    result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(d, F::kInfinity)), hn::Or(result, hn::Set(d, 0x400000u)), result);
  } else if constexpr (F::kKind == Specials::kNanOnly) {
    result = hn::IfThenElse(hn::Eq(magnitude, hn::Set(d, 0x7fu)), hn::Set(d, 0x7fc00000u), result);
  } else {
    const auto is_nan = hn::Eq(bits, hn::Set(d, 0x80u));
    return hn::IfThenElse(is_nan, hn::Set(d, 0x7fc00000u), hn::Or(result, sign));
  }
  return hn::Or(result, sign);
}

// The rest of a narrowing, and all of it where there is nothing better.
template <class F>
void NarrowPlain(const char* src, char* dst, size_t count) {
  const hn::RebindToSigned<D32> di;
  MapLanes(D32(), D8(), src, dst, count,
           [&](V32 bits) { return hn::DemoteTo(D8(), hn::BitCast(di, Narrow8<F>(D32(), bits))); });
}

template <class F>
void WidenPlain(const char* src, char* dst, size_t count) {
  MapLanes(D8(), D32(), src, dst, count,
           [](hn::Vec<D8> codes) { return Widen8<F>(D32(), hn::PromoteTo(D32(), codes)); });
}

#if HWY_TARGET == HWY_AVX3_DL

// Narrow8 for numbers that do not overflow, in four instructions a vector: the sign travels along, and one fused
// operation adds the power of two, which is the number's own exponent field. The sum's upper word then holds sign and
// exponent, its lower word the significand; a multiply-add of words joins them to sign and code << kPad.
template <class F>
HWY_INLINE __m512i Narrow8Wide(const char* from) {
  constexpr int kPad = 7 - F::kMantissa;
  constexpr int kSignOfFirst = 0, kLargerMagnitude = 3;
  const __m512 value = _mm512_loadu_ps(from);
  const __m512 least = _mm512_castsi512_ps(_mm512_set1_epi32(F::kLeast << 23));
  const __m512 scale = _mm512_castsi512_ps(_mm512_set1_epi32((127 + 23 - F::kMantissa) << 23));
  const __m512 at_least = _mm512_range_ps(value, least, kSignOfFirst << 2 | kLargerMagnitude);
  const __m512 power = _mm512_and_ps(at_least, _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(0xff800000))));
  const __m512 sum = _mm512_fmadd_round_ps(power, scale, value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return _mm512_madd_epi16(_mm512_castps_si512(sum), _mm512_set1_epi32(1 << 16 | 1 << kPad));
}

// Bound by the two ports that execute vectors of 512 bits: 26 instructions for 64 numbers, and one or two more for what a
// format does differently. So what overflows is only gathered; a block in which anything did is done again.
template <class F>
void NarrowVector(const char* src, char* dst, size_t count) {
  constexpr int kPad = 7 - F::kMantissa;
  constexpr size_t kBlock = 1024, kAhead = 2048;
  const __m512i bias = _mm512_set1_epi16(static_cast<int16_t>((F::kLeast + 23 - F::kMantissa) << 7));
  const __m512i beyond_byte = _mm512_set1_epi16(static_cast<int16_t>(0x7fff & ~((0x80 << kPad) - 1)));
  const __m512i sign_bits = _mm512_set1_epi8(static_cast<char>(0x80));
  // Of each four words the codes, then the upper bytes, which begin with the sign; and where these groups come to lie.
  constexpr int64_t kFour = int64_t{48} << 24 | int64_t{32} << 16 | int64_t{16} << 8;
  const __m512i parts = _mm512_set1_epi64((kFour + 0x08080808) << 32 | (kFour + 0x01010101 * kPad));
  const __m512i codes_of = _mm512_set_epi32(30, 26, 22, 18, 28, 24, 20, 16, 14, 10, 6, 2, 12, 8, 4, 0);
  const __m512i signs_of = _mm512_add_epi32(codes_of, _mm512_set1_epi32(1));
  size_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    __m512i all = _mm512_setzero_si512();
    for (size_t j = i; j < i + kBlock; j += 64) {
      const char* const from = src + 4 * j;
      // Without this the processor has too few lines on their way when src is in no cache.
      for (size_t line = 0; line < 256; line += 64) _mm_prefetch(from + kAhead + line, _MM_HINT_T0);
      const auto words = [&](const char* two) {
        return _mm512_sub_epi16(_mm512_packs_epi32(Narrow8Wide<F>(two), Narrow8Wide<F>(two + 64)), bias);
      };
      const __m512i low = words(from), high = words(from + 128);
      all = _mm512_ternarylogic_epi32(all, low, high, 0xfe);  // all | low | high
      const __m512i low_parts = _mm512_multishift_epi64_epi8(parts, low);
      const __m512i high_parts = _mm512_multishift_epi64_epi8(parts, high);
      __m512i codes = _mm512_permutex2var_epi32(low_parts, codes_of, high_parts);
      const __m512i signs = _mm512_permutex2var_epi32(low_parts, signs_of, high_parts);
      if constexpr (F::kKind == Specials::kIeee) {
        codes = _mm512_min_epu8(codes, _mm512_set1_epi8(static_cast<char>(F::kInfinity)));
      }
      __m512i bytes = _mm512_ternarylogic_epi32(codes, signs, sign_bits, 0xf8);  // codes | (signs & sign_bits)
      if constexpr (F::kKind == Specials::kFnuz) {
        bytes = _mm512_mask_mov_epi8(codes, _mm512_test_epi8_mask(codes, codes), bytes);  // No minus zero.
      }
      _mm512_storeu_si512(dst + j, bytes);
    }
    if (_mm512_test_epi16_mask(all, beyond_byte) != 0) NarrowPlain<F>(src + 4 * i, dst + i, kBlock);
  }
  NarrowPlain<F>(src + 4 * i, dst + i, count - i);
}
#else
template <class F>
void NarrowVector(const char* src, char* dst, size_t count) {
  NarrowPlain<F>(src, dst, count);
}
#endif

#if HWY_TARGET == HWY_AVX3_DL
// Two permutes of 128 bytes give the upper two bytes of each float32, whatever the format.
template <class F>
void WidenVector(const Float8Table& table, const char* src, char* dst, size_t count) {
  const auto half = [](const uint8_t* entries) { return _mm512_load_si512(entries); };
  const __m512i low0 = half(table.low), low1 = half(table.low + 64), low2 = half(table.low + 128), low3 = half(table.low + 192);
  const __m512i high0 = half(table.high), high1 = half(table.high + 64), high2 = half(table.high + 128),
                high3 = half(table.high + 192);
  // So that interleaving within blocks of 16 bytes keeps the elements' order.
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  const __m512i zero = _mm512_setzero_si512();
  size_t i = 0;
  for (; i + 64 <= count; i += 64) {
    const __m512i codes = _mm512_permutexvar_epi32(order, _mm512_loadu_si512(src + i));
    const __mmask64 upper = _mm512_movepi8_mask(codes);
    const __m512i low = _mm512_mask_blend_epi8(upper, _mm512_permutex2var_epi8(low0, codes, low1),
                                               _mm512_permutex2var_epi8(low2, codes, low3));
    const __m512i high = _mm512_mask_blend_epi8(upper, _mm512_permutex2var_epi8(high0, codes, high1),
                                                _mm512_permutex2var_epi8(high2, codes, high3));
    const __m512i words0 = _mm512_unpacklo_epi8(low, high), words1 = _mm512_unpackhi_epi8(low, high);
    char* const to = dst + 4 * i;
    _mm512_storeu_si512(to, _mm512_unpacklo_epi16(zero, words0));
    _mm512_storeu_si512(to + 64, _mm512_unpackhi_epi16(zero, words0));
    _mm512_storeu_si512(to + 128, _mm512_unpacklo_epi16(zero, words1));
    _mm512_storeu_si512(to + 192, _mm512_unpackhi_epi16(zero, words1));
  }
  WidenPlain<F>(src + i, dst + 4 * i, count - i);
}
#else
template <class F>
void WidenVector(const Float8Table&, const char* src, char* dst, size_t count) {
  WidenPlain<F>(src, dst, count);
}
#endif

using E4M3Fn = Float8<4, 3, 7, Specials::kNanOnly>;
using E5M2 = Float8<5, 2, 15, Specials::kIeee>;
using E4M3Fnuz = Float8<4, 3, 8, Specials::kFnuz>;
using E4M3B11Fnuz = Float8<4, 3, 11, Specials::kFnuz>;
using E5M2Fnuz = Float8<5, 2, 16, Specials::kFnuz>;
using E4M3 = Float8<4, 3, 7, Specials::kIeee>;
using E3M4 = Float8<3, 4, 3, Specials::kIeee>;

void NarrowFloat8(Dtype to, const char* src, char* dst, size_t count) {
  switch (to) {
    case Dtype::kFloat8E4M3Fn:
      return NarrowVector<E4M3Fn>(src, dst, count);
    case Dtype::kFloat8E5M2:
      return NarrowVector<E5M2>(src, dst, count);
    case Dtype::kFloat8E4M3Fnuz:
      return NarrowVector<E4M3Fnuz>(src, dst, count);
    case Dtype::kFloat8E4M3B11Fnuz:
      return NarrowVector<E4M3B11Fnuz>(src, dst, count);
    case Dtype::kFloat8E5M2Fnuz:
      return NarrowVector<E5M2Fnuz>(src, dst, count);
    case Dtype::kFloat8E4M3:
      return NarrowVector<E4M3>(src, dst, count);
    default:
      return NarrowVector<E3M4>(src, dst, count);
  }
}

void WidenFloat8(Dtype from, const Float8Table& table, const char* src, char* dst, size_t count) {
  switch (from) {
    case Dtype::kFloat8E4M3Fn:
      return WidenVector<E4M3Fn>(table, src, dst, count);
    case Dtype::kFloat8E5M2:
      return WidenVector<E5M2>(table, src, dst, count);
    case Dtype::kFloat8E4M3Fnuz:
      return WidenVector<E4M3Fnuz>(table, src, dst, count);
    case Dtype::kFloat8E4M3B11Fnuz:
      return WidenVector<E4M3B11Fnuz>(table, src, dst, count);
    case Dtype::kFloat8E5M2Fnuz:
      return WidenVector<E5M2Fnuz>(table, src, dst, count);
    case Dtype::kFloat8E4M3:
      return WidenVector<E4M3>(table, src, dst, count);
    default:
      return WidenVector<E3M4>(table, src, dst, count);
  }
}

}  // namespace cairn::cast_internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn::cast_internal {
namespace {

HWY_EXPORT(NarrowFloat8);
HWY_EXPORT(WidenFloat8);

constexpr Dtype kFloat8Dtypes[] = {Dtype::kFloat8E4M3Fn, Dtype::kFloat8E5M2,  Dtype::kFloat8E4M3Fnuz, Dtype::kFloat8E4M3B11Fnuz,
                                   Dtype::kFloat8E5M2Fnuz, Dtype::kFloat8E4M3, Dtype::kFloat8E3M4};

std::optional<size_t> Number(Dtype dtype) {
  for (size_t i = 0; i < std::size(kFloat8Dtypes); ++i) {
    if (kFloat8Dtypes[i] == dtype) return i;
  }
  return std::nullopt;
}

const Float8Table& TableOf(size_t number) {
  struct Slot {
    std::once_flag once;
    Float8Table table;
  };
  static auto* const slots = new std::array<Slot, std::size(kFloat8Dtypes)>;
  Slot& slot = (*slots)[number];
  std::call_once(slot.once, [&] {
    for (int code = 0; code < 256; ++code) {
      const char source = static_cast<char>(code);
      char wide[4];
      CastScalar(kFloat8Dtypes[number], &source, Dtype::kFloat32, wide, 1);
      slot.table.low[code] = static_cast<uint8_t>(wide[2]);
      slot.table.high[code] = static_cast<uint8_t>(wide[3]);
    }
  });
  return slot.table;
}

}  // namespace

bool CastFloat8Vectorized(Dtype from, const char* src, Dtype to, char* dst, size_t count) {
  if (from == Dtype::kFloat32 && Number(to).has_value()) {
    HWY_DYNAMIC_DISPATCH(NarrowFloat8)(to, src, dst, count);
    return true;
  }
  if (const std::optional<size_t> number = Number(from); number.has_value() && to == Dtype::kFloat32) {
    HWY_DYNAMIC_DISPATCH(WidenFloat8)(from, TableOf(*number), src, dst, count);
    return true;
  }
  return false;
}

}  // namespace cairn::cast_internal
#endif
