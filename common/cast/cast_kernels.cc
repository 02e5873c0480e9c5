#include "common/cast/cast_kernels.h"

#include <algorithm>
#include <cstdint>

#include "common/cast/float8_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/cast/cast_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "common/cast/map_lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cairn::cast_internal::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// bfloat16 by integer arithmetic: DemoteTo() of Highway 1.0.3 truncates, and the processor's own instruction flushes
// subnormals.
using D32 = hn::ScalableTag<uint32_t>;
using D16 = hn::Rebind<uint16_t, D32>;
using V32 = hn::Vec<D32>;

// Inlined by force: position-independent code, as we build it, keeps calls to functions that might be replaced.

// The bfloat16 is the upper half of each lane.
HWY_INLINE V32 Float32ToBfloat16([[maybe_unused]] D32 d, V32 bits) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  // Predicated instructions make five of eight.
  const __m512 value = _mm512_castsi512_ps(bits.raw);
  const __mmask16 odd = _mm512_test_epi32_mask(bits.raw, _mm512_set1_epi32(0x10000));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  const __m512i down = _mm512_add_epi32(bits.raw, _mm512_set1_epi32(0x7fff));
  const __m512i rounded = _mm512_mask_sub_epi32(down, odd, down, _mm512_set1_epi32(-1));
  return V32{_mm512_mask_or_epi32(rounded, is_nan, bits.raw, _mm512_set1_epi32(0x400000))};
#else
  const V32 magnitude = hn::And(bits, hn::Set(d, 0x7fffffffu));
  const V32 odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1u));
  const V32 rounded = hn::Add(bits, hn::Add(hn::Set(d, 0x7fffu), odd));
  const auto is_nan = hn::Gt(magnitude, hn::Set(d, 0x7f800000u));
  return hn::IfThenElse(is_nan, hn::Or(bits, hn::Set(d, 0x400000u)), rounded);
#endif
}

HWY_INLINE V32 Bfloat16ToFloat32(D32 d, V32 bits) {
  const V32 wide = hn::ShiftLeft<16>(bits);
  const auto is_nan = hn::Gt(hn::And(wide, hn::Set(d, 0x7fffffffu)), hn::Set(d, 0x7f800000u));
  return hn::IfThenElse(is_nan, hn::Or(wide, hn::Set(d, 0x400000u)), wide);
}

// The processor's own conversions of float16 do what we want, whatever the modes of the float unit: they round to nearest
// as told, take and give subnormals, and keep the payload of a NaN.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2 && !defined(HWY_DISABLE_F16C)
#define CAIRN_NATIVE_FLOAT16 1
#else
#define CAIRN_NATIVE_FLOAT16 0
#endif

HWY_INLINE V32 Float32ToFloat16(D32 d, V32 bits) {
  const hn::RebindToFloat<D32> df;
  const V32 sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 0x8000u));
  const V32 magnitude = hn::And(bits, hn::Set(d, 0x7fffffffu));
  // Normal results: rebias the exponent and round the 13 bits that go. A carry runs into the exponent.
  const V32 odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(d, 1u));
  const V32 normal = hn::ShiftRight<13>(
      hn::Add(hn::Sub(magnitude, hn::Set(d, 112u << 23)), hn::Add(hn::Set(d, 0xfffu), odd)));
  // Subnormal results: adding 0.5 makes the float unit round to the unit in the last place of a subnormal float16. The
  // operands are normal floats, or so small that their flushing does not matter.
  const V32 half = hn::Set(d, 0x3f000000u);
  const V32 subnormal = hn::Sub(hn::BitCast(d, hn::Add(hn::BitCast(df, magnitude), hn::BitCast(df, half))), half);
  const V32 infinity = hn::Set(d, 0x7c00u);
  const V32 nan = hn::Or(hn::Set(d, 0x7e00u), hn::And(hn::ShiftRight<13>(magnitude), hn::Set(d, 0x3ffu)));
  V32 result = hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 113u << 23)), subnormal, normal);
  result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(d, 0x477fefffu)), infinity, result);  // From 65520 on.
  result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(d, 0x7f800000u)), nan, result);
  return hn::Or(result, sign);
}

HWY_INLINE V32 Float16ToFloat32(D32 d, V32 bits) {
  const hn::RebindToFloat<D32> df;
  const V32 sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(d, 0x8000u)));
  const V32 magnitude = hn::And(bits, hn::Set(d, 0x7fffu));
  const V32 normal = hn::Add(hn::ShiftLeft<13>(magnitude), hn::Set(d, 112u << 23));
  // A subnormal is an integer times 2^-24.
  const hn::RebindToSigned<D32> di;
  const V32 subnormal = hn::BitCast(
      d, hn::Mul(hn::ConvertTo(df, hn::BitCast(di, magnitude)), hn::Set(df, 0x1p-24f)));
  const V32 special = hn::Or(hn::ShiftLeft<13>(magnitude), hn::Set(d, 0x7f800000u));
  V32 result = hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0x400u)), subnormal, normal);
  result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(d, 0x7bffu)), special, result);
  result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(d, 0x7c00u)), hn::Or(result, hn::Set(d, 0x400000u)), result);
  return hn::Or(result, sign);
}

// Float32 to 16 bits, one vector.
struct ToBfloat16 {
  hn::Vec<D16> operator()(V32 bits) const {
    return hn::DemoteTo(D16(), hn::BitCast(hn::RebindToSigned<D32>(), hn::ShiftRight<16>(Float32ToBfloat16(D32(), bits))));
  }
};

struct ToFloat16 {
  hn::Vec<D16> operator()(V32 bits) const {
    [[maybe_unused]] const D32 d;
#if CAIRN_NATIVE_FLOAT16
    const hn::Rebind<hwy::float16_t, D32> df16;
    return hn::BitCast(D16(), hn::DemoteTo(df16, hn::BitCast(hn::RebindToFloat<D32>(), bits)));
#else
    return hn::DemoteTo(D16(), hn::BitCast(hn::RebindToSigned<D32>(), Float32ToFloat16(d, bits)));
#endif
  }
};

struct FromBfloat16 {
  V32 operator()(hn::Vec<D16> codes) const { return Bfloat16ToFloat32(D32(), hn::PromoteTo(D32(), codes)); }
};

struct FromFloat16 {
  V32 operator()(hn::Vec<D16> codes) const {
    const D32 d;
#if CAIRN_NATIVE_FLOAT16
    const hn::Rebind<hwy::float16_t, D32> df16;
    return hn::BitCast(d, hn::PromoteTo(hn::RebindToFloat<D32>(), hn::BitCast(df16, codes)));
#else
    return Float16ToFloat32(d, hn::PromoteTo(d, codes));
#endif
  }
};

// Two vectors at a time: one permute then takes the upper halves of both.
void NarrowToBfloat16(const char* src, char* dst, size_t count) {
  size_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const D32 d32;
  const hn::Repartition<uint16_t, D32> d16;
  const size_t lanes = hn::Lanes(d32);
  const auto* from = reinterpret_cast<const uint32_t*>(src);
  auto* to = reinterpret_cast<uint16_t*>(dst);
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const V32 low = Float32ToBfloat16(d32, hn::LoadU(d32, from + i));
    const V32 high = Float32ToBfloat16(d32, hn::LoadU(d32, from + i + lanes));
    hn::StoreU(hn::ConcatOdd(d16, hn::BitCast(d16, high), hn::BitCast(d16, low)), d16, to + i);
  }
#endif
  MapLanes(D32(), D16(), src + 4 * i, dst + 2 * i, count - i, ToBfloat16());
}

void NarrowToFloat16(const char* src, char* dst, size_t count) { MapLanes(D32(), D16(), src, dst, count, ToFloat16()); }
void WidenBfloat16(const char* src, char* dst, size_t count) { MapLanes(D16(), D32(), src, dst, count, FromBfloat16()); }
void WidenFloat16(const char* src, char* dst, size_t count) { MapLanes(D16(), D32(), src, dst, count, FromFloat16()); }

#undef CAIRN_NATIVE_FLOAT16

}  // namespace cairn::cast_internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn::cast_internal {

HWY_EXPORT(NarrowToBfloat16);
HWY_EXPORT(NarrowToFloat16);
HWY_EXPORT(WidenBfloat16);
HWY_EXPORT(WidenFloat16);

namespace {

bool CastVectorFloat32(Dtype from, const char* src, Dtype to, char* dst, size_t count) {
  if (from == Dtype::kFloat32 && to == Dtype::kBfloat16) {
    HWY_DYNAMIC_DISPATCH(NarrowToBfloat16)(src, dst, count);
  } else if (from == Dtype::kFloat32 && to == Dtype::kFloat16) {
    HWY_DYNAMIC_DISPATCH(NarrowToFloat16)(src, dst, count);
  } else if (from == Dtype::kBfloat16 && to == Dtype::kFloat32) {
    HWY_DYNAMIC_DISPATCH(WidenBfloat16)(src, dst, count);
  } else if (from == Dtype::kFloat16 && to == Dtype::kFloat32) {
    HWY_DYNAMIC_DISPATCH(WidenFloat16)(src, dst, count);
  } else {
    return CastFloat8Vectorized(from, src, to, dst, count);
  }
  return true;
}

}  // namespace

bool CastVectorized(Dtype from, const char* src, Dtype to, char* dst, size_t count) {
  if (CastVectorFloat32(from, src, to, dst, count)) return true;
  // float32 holds every narrower float exactly, so the way over it rounds once too.
  constexpr size_t kBlock = 1024;
  alignas(64) char wide[4 * kBlock];
  if (BitWidth(from) > 16 || BitWidth(to) > 16 || !CastVectorFloat32(from, src, Dtype::kFloat32, wide, 0) ||
      !CastVectorFloat32(Dtype::kFloat32, wide, to, dst, 0)) {
    return false;
  }
  const size_t from_bytes = static_cast<size_t>(BitWidth(from)) / 8, to_bytes = static_cast<size_t>(BitWidth(to)) / 8;
  for (size_t i = 0; i < count; i += kBlock) {
    const size_t block = std::min(kBlock, count - i);
    CastVectorFloat32(from, src + i * from_bytes, Dtype::kFloat32, wide, block);
    CastVectorFloat32(Dtype::kFloat32, wide, to, dst + i * to_bytes, block);
  }
  return true;
}

}  // namespace cairn::cast_internal
#endif
