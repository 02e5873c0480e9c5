#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "common/io/byte_source.h"

namespace cairn {

// Memory that an open one takes at most, about.
inline constexpr uint64_t kZstdSourceBytes = 12u << 20;

// What `compressed` (frames of zstd, one after the other) holds, of which nobody wrote down the size: it is
// decompressed once to find out, and its first and last kilobytes are kept, where an archive has its directory. Then
// reads front to back cost one more pass; a read before the place that was reached begins again at the front.
//
// INVALID_ARGUMENT for damaged frames, for more content than `max_bytes`, and for frames that ask for more than 8 MiB
// of memory (zstd's own recommendation to decoders). Thread-safe if `compressed` is.
absl::StatusOr<std::unique_ptr<ByteSource>> OpenZstdSource(std::shared_ptr<const ByteSource> compressed,
                                                           uint64_t max_bytes);

}  // namespace cairn
