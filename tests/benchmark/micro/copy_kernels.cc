#include "tests/benchmark/micro/copy_kernels.h"

#include <cstdint>
#include <cstdlib>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/benchmark/micro/copy_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cairn::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// kReads vectors in, kWrites out.
template <int kReads, int kWrites>
void Pass(const uint8_t* src, uint8_t* dst, size_t shorter) {
  const hn::ScalableTag<uint8_t> d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < shorter; i += lanes) {
    auto all = hn::LoadU(d, src);
    for (int read = 1; read < kReads; ++read) all = hn::Or(all, hn::LoadU(d, src + static_cast<size_t>(read) * lanes));
    for (int write = 0; write < kWrites; ++write) hn::StoreU(all, d, dst + static_cast<size_t>(write) * lanes);
    src += kReads * lanes;
    dst += kWrites * lanes;
  }
}

void Copy(const uint8_t* src, size_t src_bytes, uint8_t* dst, size_t dst_bytes) {
  if (src_bytes == dst_bytes) return Pass<1, 1>(src, dst, src_bytes);
  if (src_bytes == 2 * dst_bytes) return Pass<2, 1>(src, dst, dst_bytes);
  if (src_bytes == 4 * dst_bytes) return Pass<4, 1>(src, dst, dst_bytes);
  if (dst_bytes == 2 * src_bytes) return Pass<1, 2>(src, dst, src_bytes);
  if (dst_bytes == 4 * src_bytes) return Pass<1, 4>(src, dst, src_bytes);
  std::abort();
}

}  // namespace cairn::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn {

HWY_EXPORT(Copy);

void CopyUnevenly(const char* src, size_t src_bytes, char* dst, size_t dst_bytes) {
  HWY_DYNAMIC_DISPATCH(Copy)(reinterpret_cast<const uint8_t*>(src), src_bytes, reinterpret_cast<uint8_t*>(dst), dst_bytes);
}

}  // namespace cairn
#endif
