#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "common/format/format.h"

namespace cairn::testing {

// Reads the front and the last byte of every entry, in a bounded buffer: whatever the index says, bytes come or are refused.
inline void ReadEntries(CheckpointReader& reader, uint64_t most_bytes = 1u << 16) {
  for (size_t i = 0; i < reader.index().entries.size(); ++i) {
    const uint64_t length = reader.index().entries[i].byte_size;
    std::string read(std::min(length, most_bytes), '\0');
    (void)reader.ReadAt(i, 0, absl::MakeSpan(read));
    if (length > 0) (void)reader.ReadAt(i, length - 1, absl::MakeSpan(read).subspan(0, 1));
  }
}

}  // namespace cairn::testing
