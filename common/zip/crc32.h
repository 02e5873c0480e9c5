#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace cairn {

// CRC-32 of zip, gzip and PNG (reflected polynomial 0xEDB88320), which is not the CRC-32C of common/base.
// `crc` is the value of the bytes before, 0 at the start: ExtendCrc32(ExtendCrc32(0, a), b) == Crc32(a + b).
uint32_t ExtendCrc32(uint32_t crc, absl::string_view bytes);

inline uint32_t Crc32(absl::string_view bytes) { return ExtendCrc32(0, bytes); }

}  // namespace cairn
