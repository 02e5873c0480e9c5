#pragma once

#include <cstdint>
#include <memory>

namespace cairn {

// Memory for bytes that are read from a store, aligned as disks want it where it is large. Null if there is none.
//
// Large blocks are used again: the system clears each page that it hands out, which costs more than reading into it, and
// a heap out of which threads take and give megabytes grows without need. Some MiB of them wait at most. Thread-safe.
std::shared_ptr<char> AllocateReadMemory(uint64_t bytes);

}  // namespace cairn
