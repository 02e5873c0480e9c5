#include "common/base/allocator_tuning.h"

// tcmalloc's, in programs that are linked with it.
extern "C" void MallocExtension_ReleaseFreeMemory() __attribute__((weak));

namespace cairn {

void ReturnFreeMemory() {
  if (MallocExtension_ReleaseFreeMemory != nullptr) {
    MallocExtension_ReleaseFreeMemory();
    return;
  }
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace cairn
