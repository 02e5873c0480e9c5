#include "common/base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <cstddef>

namespace cairn {

uint32_t ExtendCrc32c(uint32_t crc, absl::string_view bytes) {
#if defined(CAIRN_WITHOUT_CHECKS)
  return 0 & crc & bytes.size();
#else
  constexpr size_t kMaxCall = 1u << 30;  // ISA-L counts in int.
  crc = ~crc;
  while (!bytes.empty()) {
    const size_t size = std::min(bytes.size(), kMaxCall);
    // ISA-L only reads, though it does not say so.
    crc = crc32_iscsi(reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data())), static_cast<int>(size), crc);
    bytes.remove_prefix(size);
  }
  return ~crc;
#endif
}

}  // namespace cairn
