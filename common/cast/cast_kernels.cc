#include "common/cast/cast_kernels.h"

#include <cstdint>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/cast/cast_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cairn::cast_internal::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Integer arithmetic alone: DemoteTo() of Highway 1.0.3 truncates to bfloat16, and the float unit's own conversions
// depend on its flush-to-zero mode.
using D32 = hn::ScalableTag<uint32_t>;
using D16 = hn::Rebind<uint16_t, D32>;
using V32 = hn::Vec<D32>;

V32 Float32ToBfloat16(D32 d, V32 bits) {
  const V32 magnitude = hn::And(bits, hn::Set(d, 0x7fffffffu));
  const V32 upper = hn::ShiftRight<16>(bits);
  const V32 odd = hn::And(upper, hn::Set(d, 1u));
  const V32 rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(hn::Set(d, 0x7fffu), odd)));
  const auto is_nan = hn::Gt(magnitude, hn::Set(d, 0x7f800000u));
  return hn::IfThenElse(is_nan, hn::Or(upper, hn::Set(d, 0x40u)), rounded);
}

V32 Bfloat16ToFloat32(D32 d, V32 bits) {
  const V32 wide = hn::ShiftLeft<16>(bits);
  const auto is_nan = hn::Gt(hn::And(wide, hn::Set(d, 0x7fffffffu)), hn::Set(d, 0x7f800000u));
  return hn::IfThenElse(is_nan, hn::Or(wide, hn::Set(d, 0x400000u)), wide);
}

V32 Float32ToFloat16(D32 d, V32 bits) {
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

V32 Float16ToFloat32(D32 d, V32 bits) {
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

template <V32 (*Kernel)(D32, V32)>
void Narrow(const char* src, char* dst, size_t count) {
  const D32 d32;
  const D16 d16;
  const size_t lanes = hn::Lanes(d32);
  const auto* from = reinterpret_cast<const uint32_t*>(src);
  auto* to = reinterpret_cast<uint16_t*>(dst);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::DemoteTo(d16, hn::BitCast(hn::RebindToSigned<D32>(), Kernel(d32, hn::LoadU(d32, from + i)))), d16, to + i);
  }
  if (i == count) return;
  HWY_ALIGN uint32_t rest[hn::MaxLanes(d32)] = {};
  HWY_ALIGN uint16_t out[hn::MaxLanes(d32)];
  std::memcpy(rest, src + 4 * i, 4 * (count - i));
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(hn::RebindToSigned<D32>(), Kernel(d32, hn::Load(d32, rest)))), d16, out);
  std::memcpy(dst + 2 * i, out, 2 * (count - i));
}

template <V32 (*Kernel)(D32, V32)>
void Widen(const char* src, char* dst, size_t count) {
  const D32 d32;
  const D16 d16;
  const size_t lanes = hn::Lanes(d32);
  const auto* from = reinterpret_cast<const uint16_t*>(src);
  auto* to = reinterpret_cast<uint32_t*>(dst);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(Kernel(d32, hn::PromoteTo(d32, hn::LoadU(d16, from + i))), d32, to + i);
  }
  if (i == count) return;
  HWY_ALIGN uint16_t rest[hn::MaxLanes(d32)] = {};
  HWY_ALIGN uint32_t out[hn::MaxLanes(d32)];
  std::memcpy(rest, src + 2 * i, 2 * (count - i));
  hn::StoreU(Kernel(d32, hn::PromoteTo(d32, hn::LoadU(d16, rest))), d32, out);
  std::memcpy(dst + 4 * i, out, 4 * (count - i));
}

void NarrowToBfloat16(const char* src, char* dst, size_t count) { Narrow<Float32ToBfloat16>(src, dst, count); }
void NarrowToFloat16(const char* src, char* dst, size_t count) { Narrow<Float32ToFloat16>(src, dst, count); }
void WidenBfloat16(const char* src, char* dst, size_t count) { Widen<Bfloat16ToFloat32>(src, dst, count); }
void WidenFloat16(const char* src, char* dst, size_t count) { Widen<Float16ToFloat32>(src, dst, count); }

}  // namespace cairn::cast_internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn::cast_internal {

HWY_EXPORT(NarrowToBfloat16);
HWY_EXPORT(NarrowToFloat16);
HWY_EXPORT(WidenBfloat16);
HWY_EXPORT(WidenFloat16);

bool CastVectorized(Dtype from, const char* src, Dtype to, char* dst, size_t count) {
  if (from == Dtype::kFloat32 && to == Dtype::kBfloat16) {
    HWY_DYNAMIC_DISPATCH(NarrowToBfloat16)(src, dst, count);
  } else if (from == Dtype::kFloat32 && to == Dtype::kFloat16) {
    HWY_DYNAMIC_DISPATCH(NarrowToFloat16)(src, dst, count);
  } else if (from == Dtype::kBfloat16 && to == Dtype::kFloat32) {
    HWY_DYNAMIC_DISPATCH(WidenBfloat16)(src, dst, count);
  } else if (from == Dtype::kFloat16 && to == Dtype::kFloat32) {
    HWY_DYNAMIC_DISPATCH(WidenFloat16)(src, dst, count);
  } else {
    return false;
  }
  return true;
}

}  // namespace cairn::cast_internal
#endif
