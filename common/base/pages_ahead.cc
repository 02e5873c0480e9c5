#include "common/base/pages_ahead.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <system_error>

namespace cairn {
namespace {

#ifdef MADV_POPULATE_WRITE
constexpr int kPopulateWrite = MADV_POPULATE_WRITE;
#else
constexpr int kPopulateWrite = 23;
#endif

// Below it a thread costs more than it saves.
constexpr size_t kAheadFrom = 8 << 20;
// What the allocators of the frameworks take for large.
constexpr size_t kHugeFrom = 4 << 20;
// One huge page: how long the destructor waits, and for how long the address space is locked at once.
constexpr size_t kStep = 2 << 20;
constexpr int kSamples = 8;

size_t PageSize() {
  static const size_t size = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

// Whole pages only: the others are shared with somebody else's memory.
absl::Span<char> WholePages(absl::Span<char> memory) {
  const uintptr_t page = PageSize();
  const uintptr_t address = reinterpret_cast<uintptr_t>(memory.data());
  const size_t before = (page - address % page) % page;
  if (memory.size() <= before) return {};
  return memory.subspan(before, (memory.size() - before) / page * page);
}

// A look at some pages tells new memory from memory that was used before.
bool HasItsPages(absl::Span<char> pages) {
  for (int i = 0; i < kSamples; ++i) {
    const size_t offset = pages.size() / kSamples * i / PageSize() * PageSize();
    unsigned char resident = 0;
    if (::mincore(pages.data() + offset, PageSize(), &resident) != 0) return true;
    if ((resident & 1) == 0) return false;
  }
  return true;
}

}  // namespace

PagesAhead::PagesAhead(absl::Span<char> memory) {
  if (memory.size() < kAheadFrom || std::thread::hardware_concurrency() == 1) return;
  const absl::Span<char> pages = WholePages(memory);
  if (HasItsPages(pages)) return;
  try {
    thread_ = std::thread([this, pages] { Run(pages.data(), pages.size()); });
  } catch (const std::system_error&) {
    // No thread to be had: the pages come when they are written.
  }
}

PagesAhead::~PagesAhead() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
}

void PagesAhead::Run(char* begin, size_t size) {
  // Up to the end of the first huge page, then one by one.
  size_t step = kStep - reinterpret_cast<uintptr_t>(begin) % kStep;
  while (size > 0 && !stop_.load(std::memory_order_relaxed)) {
    step = std::min(step, size);
    if (::madvise(begin, step, kPopulateWrite) != 0) return;
    begin += step;
    size -= step;
    step = kStep;
  }
}

void AdviseHugePages(absl::Span<char> memory) {
  if (memory.size() < kHugeFrom) return;
  const absl::Span<char> pages = WholePages(memory);
  // An advice: where it is refused, all stays as it was.
  ::madvise(pages.data(), pages.size(), MADV_HUGEPAGE);
}

}  // namespace cairn
