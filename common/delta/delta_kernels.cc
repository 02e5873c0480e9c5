#include "common/delta/delta_kernels.h"

#include <cstdint>
#include <cstring>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/delta/delta_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cairn::delta_internal::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class T>
HWY_INLINE T TurnLeft(T value) {
  if constexpr (sizeof(T) == 1) return value;
  return static_cast<T>((value << 1) | (value >> (8 * sizeof(T) - 1)));
}
template <class T>
HWY_INLINE T TurnRight(T value) {
  if constexpr (sizeof(T) == 1) return value;
  return static_cast<T>((value >> 1) | (value << (8 * sizeof(T) - 1)));
}

template <class T>
HWY_INLINE T Load(const char* from, size_t i) {
  T value;
  std::memcpy(&value, from + i * sizeof(T), sizeof(T));
  return value;
}

template <class T>
HWY_INLINE size_t XorAs(const char* a, const char* b, size_t count, char* out) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  const T* from_a = reinterpret_cast<const T*>(a);
  const T* from_b = reinterpret_cast<const T*>(b);
  T* to = reinterpret_cast<T*>(out);
  size_t i = 0, changed = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto difference = hn::Xor(hn::LoadU(d, from_a + i), hn::LoadU(d, from_b + i));
    hn::StoreU(difference, d, to + i);
    changed += lanes - hn::CountTrue(d, hn::Eq(difference, hn::Zero(d)));
  }
  for (; i < count; ++i) {
    const T difference = static_cast<T>(Load<T>(a, i) ^ Load<T>(b, i));
    std::memcpy(out + i * sizeof(T), &difference, sizeof(T));
    changed += difference != 0;
  }
  return changed;
}

// A vector of units at a time; each plane takes as many bytes as the vector has lanes.
template <class T, size_t... kPlane>
HWY_INLINE void SplitAs(const char* units, size_t count, char* planes, std::index_sequence<kPlane...>) {
  const hn::ScalableTag<T> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const size_t lanes = hn::Lanes(d);
  constexpr int kTop = 8 * sizeof(T) - 1;
  const T* from = reinterpret_cast<const T*>(units);
  auto* to = reinterpret_cast<uint8_t*>(planes);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::LoadU(d, from + i);
    const auto turned = hn::Or(hn::ShiftLeft<1>(value), hn::ShiftRight<kTop>(value));
    (hn::StoreU(hn::TruncateTo(d8, hn::ShiftRight<8 * kPlane>(turned)), d8, to + kPlane * count + i), ...);
  }
  for (; i < count; ++i) {
    const T turned = TurnLeft(Load<T>(units, i));
    ((to[kPlane * count + i] = static_cast<uint8_t>(turned >> (8 * kPlane))), ...);
  }
}

template <class D>
HWY_INLINE hn::Vec<D> PromoteByte(D d, const uint8_t* from) {
  if constexpr (sizeof(hn::TFromD<D>) == 8) {
    const hn::Rebind<uint32_t, D> d32;
    const hn::Rebind<uint8_t, D> d8;
    return hn::PromoteTo(d, hn::PromoteTo(d32, hn::LoadU(d8, from)));
  } else {
    const hn::Rebind<uint8_t, D> d8;
    return hn::PromoteTo(d, hn::LoadU(d8, from));
  }
}

template <class T, size_t... kPlane>
HWY_INLINE void MergeAs(const char* planes, const char* base, size_t count, char* units,
                        std::index_sequence<kPlane...>) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  constexpr int kTop = 8 * sizeof(T) - 1;
  const auto* from = reinterpret_cast<const uint8_t*>(planes);
  T* to = reinterpret_cast<T*>(units);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto turned = hn::Zero(d);
    ((turned = hn::Or(turned, hn::ShiftLeft<8 * kPlane>(PromoteByte(d, from + kPlane * count + i)))), ...);
    auto value = hn::Or(hn::ShiftRight<1>(turned), hn::ShiftLeft<kTop>(turned));
    if (base != nullptr) value = hn::Xor(value, hn::LoadU(d, reinterpret_cast<const T*>(base) + i));
    hn::StoreU(value, d, to + i);
  }
  for (; i < count; ++i) {
    T turned = 0;
    ((turned = static_cast<T>(turned | (static_cast<T>(from[kPlane * count + i]) << (8 * kPlane)))), ...);
    T value = TurnRight(turned);
    if (base != nullptr) value = static_cast<T>(value ^ Load<T>(base, i));
    std::memcpy(units + i * sizeof(T), &value, sizeof(T));
  }
}

size_t XorUnits(const char* a, const char* b, size_t unit, size_t count, char* out) {
  switch (unit) {
    case 1:
      return XorAs<uint8_t>(a, b, count, out);
    case 2:
      return XorAs<uint16_t>(a, b, count, out);
    case 4:
      return XorAs<uint32_t>(a, b, count, out);
    default:
      return XorAs<uint64_t>(a, b, count, out);
  }
}

void SplitPlanes(const char* units, size_t unit, size_t count, char* planes) {
  switch (unit) {
    case 1:
      std::memcpy(planes, units, count);
      return;
    case 2:
      return SplitAs<uint16_t>(units, count, planes, std::make_index_sequence<2>());
    case 4:
      return SplitAs<uint32_t>(units, count, planes, std::make_index_sequence<4>());
    default:
      return SplitAs<uint64_t>(units, count, planes, std::make_index_sequence<8>());
  }
}

void MergePlanes(const char* planes, const char* base, size_t unit, size_t count, char* units) {
  switch (unit) {
    case 1:
      if (base == nullptr) {
        std::memcpy(units, planes, count);
      } else {
        XorAs<uint8_t>(planes, base, count, units);
      }
      return;
    case 2:
      return MergeAs<uint16_t>(planes, base, count, units, std::make_index_sequence<2>());
    case 4:
      return MergeAs<uint32_t>(planes, base, count, units, std::make_index_sequence<4>());
    default:
      return MergeAs<uint64_t>(planes, base, count, units, std::make_index_sequence<8>());
  }
}

}  // namespace cairn::delta_internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn::delta_internal {

HWY_EXPORT(XorUnits);
HWY_EXPORT(SplitPlanes);
HWY_EXPORT(MergePlanes);

size_t XorUnits(const char* a, const char* b, size_t unit, size_t count, char* out) {
  return HWY_DYNAMIC_DISPATCH(XorUnits)(a, b, unit, count, out);
}
void SplitPlanes(const char* units, size_t unit, size_t count, char* planes) {
  if (count > 0) HWY_DYNAMIC_DISPATCH(SplitPlanes)(units, unit, count, planes);
}
void MergePlanes(const char* planes, const char* base, size_t unit, size_t count, char* units) {
  if (count > 0) HWY_DYNAMIC_DISPATCH(MergePlanes)(planes, base, unit, count, units);
}

}  // namespace cairn::delta_internal
#endif
