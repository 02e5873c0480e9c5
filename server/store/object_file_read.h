#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "server/store/open_file_cache.h"

namespace cairn {

// Smaller reads always go through the page cache: what the system reads ahead is worth more to them.
inline constexpr uint64_t kMinDirectBytes = 256u << 10;

// Whether the system says what its page cache has of a file (Linux 6.5 does). Without that nothing is read past it.
bool CanTellWhatIsCached(int fd);

// Fills `dst` with the bytes of a file from `offset` on: from the page cache if most of them are there, otherwise, if it
// is much, straight from the disk. Reading a checkpoint of many GB through the cache costs more processor time than
// everything else that is done with its bytes, and drives out what somebody may need.
// Returns how many bytes came, less than dst.size() only at the end of the file, or -errno.
ssize_t ReadObjectFile(const OpenFile& file, uint64_t offset, absl::Span<char> dst);

}  // namespace cairn
