// Included once for each instruction set (hwy/foreach_target.h), so without #pragma once.
#if defined(CAIRN_COMMON_CAST_MAP_LANES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef CAIRN_COMMON_CAST_MAP_LANES_INL_H
#undef CAIRN_COMMON_CAST_MAP_LANES_INL_H
#else
#define CAIRN_COMMON_CAST_MAP_LANES_INL_H
#endif

#include <cstddef>
#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cairn::cast_internal::HWY_NAMESPACE {

// dst[i] = cast(src[i]), a vector at a time, at any address. The two types have as many lanes in a vector. Nothing
// behind the last element is read or written.
template <class SrcTag, class DstTag, class Cast>
HWY_INLINE void MapLanes(SrcTag src_tag, DstTag dst_tag, const char* src, char* dst, size_t count, Cast cast) {
  namespace hn = hwy::HWY_NAMESPACE;
  using Source = hn::TFromD<SrcTag>;
  using Target = hn::TFromD<DstTag>;
  const size_t lanes = hn::Lanes(src_tag);
  const auto* from = reinterpret_cast<const Source*>(src);
  auto* to = reinterpret_cast<Target*>(dst);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(cast(hn::LoadU(src_tag, from + i)), dst_tag, to + i);
  if (i == count) return;
  HWY_ALIGN Source rest[hn::MaxLanes(src_tag)] = {};
  HWY_ALIGN Target out[hn::MaxLanes(dst_tag)];
  std::memcpy(rest, src + i * sizeof(Source), (count - i) * sizeof(Source));
  hn::StoreU(cast(hn::Load(src_tag, rest)), dst_tag, out);
  std::memcpy(dst + i * sizeof(Target), out, (count - i) * sizeof(Target));
}

}  // namespace cairn::cast_internal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
