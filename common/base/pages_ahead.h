#pragma once

#include <atomic>
#include <cstddef>
#include <thread>

#include "absl/types/span.h"

namespace cairn {

// Lets the kernel find the pages of memory that is about to be filled, in a thread of its own and ahead of whoever
// fills it: finding and clearing new pages costs as much as receiving what goes there. Does nothing for memory that is
// small or that has its pages, where there is one processor only, and where the kernel cannot do it (Linux before
// 5.14). Changes no byte.
class PagesAhead {
 public:
  // `memory` outlives this object.
  explicit PagesAhead(absl::Span<char> memory);
  // Stops within a moment: what has not been reached is left as it is.
  ~PagesAhead();
  PagesAhead(const PagesAhead&) = delete;
  PagesAhead& operator=(const PagesAhead&) = delete;

 private:
  void Run(char* begin, size_t size);

  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Asks for huge pages where `memory` has whole ones: fewer faults, and cheaper ones. For memory that the caller has
// just allocated. Does nothing for small memory, and where there are none.
void AdviseHugePages(absl::Span<char> memory);

}  // namespace cairn
