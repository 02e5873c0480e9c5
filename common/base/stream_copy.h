#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace cairn {

// Copies `bytes` to `to`, past the caches where the processor can: for large buffers that nobody reads soon, whose old
// content would otherwise be fetched into the cache first, only to be overwritten. What was copied is visible to
// other threads as after any other write.
void StreamCopy(char* to, absl::string_view bytes);

// StreamCopy, and ExtendCrc32c of what is copied, in one pass over memory.
uint32_t StreamCopyCrc32c(char* to, uint32_t crc, absl::string_view bytes);

}  // namespace cairn
