#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace cairn {

// CRC-32C (Castagnoli, RFC 3720 B.4), the checksum of every chunk on the wire.
// `crc` is the value of the bytes before, 0 at the start: ExtendCrc32c(ExtendCrc32c(0, a), b) == Crc32c(a + b).
// ISA-L computes it with the widest instructions of the processor at hand.
uint32_t ExtendCrc32c(uint32_t crc, absl::string_view bytes);

inline uint32_t Crc32c(absl::string_view bytes) { return ExtendCrc32c(0, bytes); }

}  // namespace cairn
