#pragma once

#include <malloc.h>

namespace cairn {

// For main() of a program that moves tensors, before its first thread; never for a library, which must not decide it
// for its host. gRPC reads into buffers of up to a chunk. By default glibc maps and unmaps each of them, and the page
// faults eat a part of the throughput; and it keeps an arena per thread, each with its own unused memory.
inline void TuneAllocator() {
#ifdef __GLIBC__
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
  mallopt(M_TOP_PAD, 4 << 20);
#endif
}

// Gives memory that the allocator keeps for later back to the system: after work that took much more than is usual. What is
// used next has to be found anew. Thread-safe.
void ReturnFreeMemory();

}  // namespace cairn
