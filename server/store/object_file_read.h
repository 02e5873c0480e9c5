#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/store/open_file_cache.h"

namespace cairn {

// Smaller reads always go through the page cache: what the system reads ahead is worth more to them.
inline constexpr uint64_t kMinDirectBytes = 256u << 10;

// Whether the system says what its page cache has of a file (Linux 6.5 does). Without that nothing is read past it.
bool CanTellWhatIsCached(int fd);

// Whether the page cache has most of a range; false where the system cannot tell.
bool IsMostlyCached(int fd, uint64_t offset, uint64_t length);

// Whether a read of so many bytes that are not cached goes past the page cache.
inline bool IsReadDirectly(const OpenFile& file, uint64_t length) {
  return file.direct.valid() && length >= kMinDirectBytes;
}

// Fills `dst` with the bytes of a file from `offset` on: from the page cache if most of them are there, otherwise, if it
// is much and `may_be_direct`, straight from the disk. Reading a checkpoint of many GB through the cache costs more processor time than
// everything else that is done with its bytes, and drives out what somebody may need.
// Calls `seen` with each piece once it has come (ObjectStore::ReadInPieces).
// Returns how many bytes came, less than dst.size() only at the end of the file, or -errno.
ssize_t ReadObjectFile(const OpenFile& file, uint64_t offset, absl::Span<char> dst, bool may_be_direct = true,
                       absl::FunctionRef<void(absl::string_view)> seen = [](absl::string_view) {});

}  // namespace cairn
