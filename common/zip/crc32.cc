#include "common/zip/crc32.h"

#include <libdeflate.h>

namespace cairn {

uint32_t ExtendCrc32(uint32_t crc, absl::string_view bytes) {
  // A null buffer would start the library's sum anew.
  if (bytes.empty()) return crc;
  return libdeflate_crc32(crc, bytes.data(), bytes.size());
}

}  // namespace cairn
