#include "common/base/pages_ahead.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace cairn {
namespace {

constexpr size_t kSize = 16 << 20;

// New memory without pages; what lies before and behind it cannot be touched.
class NewMemory {
 public:
  NewMemory() : page_(::sysconf(_SC_PAGESIZE)) {
    void* const all = ::mmap(nullptr, kSize + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(all, MAP_FAILED);
    begin_ = static_cast<char*>(all) + page_;
    EXPECT_EQ(::mprotect(begin_, kSize, PROT_READ | PROT_WRITE), 0);
  }
  ~NewMemory() { ::munmap(begin_ - page_, kSize + 2 * page_); }

  absl::Span<char> span() const { return absl::MakeSpan(begin_, kSize); }
  size_t page() const { return page_; }
  size_t pages_there() const {
    std::vector<unsigned char> there(kSize / page_);
    EXPECT_EQ(::mincore(begin_, kSize, there.data()), 0);
    return std::count_if(there.begin(), there.end(), [](unsigned char page) { return (page & 1) != 0; });
  }
  bool HasPage(size_t offset) const {
    unsigned char there = 0;
    EXPECT_EQ(::mincore(begin_ + offset / page_ * page_, page_, &there), 0);
    return (there & 1) != 0;
  }

 private:
  const size_t page_;
  char* begin_ = nullptr;
};

bool KernelCanPopulate() {
  NewMemory memory;
  return ::madvise(memory.span().data(), memory.page(), 23) == 0;
}

// The thread goes from the begin to the end, so the last page says that it is done.
void AwaitPage(const NewMemory& memory, size_t offset) {
  while (!memory.HasPage(offset)) std::this_thread::yield();
}

TEST(PagesAheadTest, NewMemoryGetsAllItsPagesWithoutBeingWritten) {
  if (!KernelCanPopulate() || std::thread::hardware_concurrency() == 1) GTEST_SKIP() << "nothing is done here";
  NewMemory memory;
  const PagesAhead ahead(memory.span());
  AwaitPage(memory, kSize - 1);
  EXPECT_EQ(memory.pages_there(), kSize / memory.page());
}

TEST(PagesAheadTest, WhatIsWrittenMeanwhileStays) {
  NewMemory memory;
  std::fill(memory.span().begin(), memory.span().begin() + 5000, 'a');
  {
    const PagesAhead ahead(memory.span());
    for (size_t i = 5000; i < kSize; ++i) memory.span()[i] = static_cast<char>(i * 7);
  }
  EXPECT_EQ(std::count(memory.span().begin(), memory.span().begin() + 5000, 'a'), 5000);
  for (size_t i = 5000; i < kSize; ++i) ASSERT_EQ(memory.span()[i], static_cast<char>(i * 7)) << i;
}

TEST(PagesAheadTest, MemoryThatBeginsAndEndsWithinPagesIsFilledInTheMiddleOnly) {
  NewMemory memory;
  {
    const PagesAhead ahead(memory.span().subspan(100, kSize - 200));
    if (KernelCanPopulate() && std::thread::hardware_concurrency() > 1) AwaitPage(memory, kSize - 2 * memory.page());
  }
  EXPECT_FALSE(memory.HasPage(0));
  EXPECT_FALSE(memory.HasPage(kSize - 1));
}

TEST(PagesAheadTest, SmallMemoryIsLeftAlone) {
  NewMemory memory;
  { const PagesAhead ahead(memory.span().subspan(0, 1 << 20)); }
  EXPECT_EQ(memory.pages_there(), 0u);
}

TEST(PagesAheadTest, MemoryOfNoBytesIsNoTrouble) {
  { const PagesAhead ahead(absl::Span<char>{}); }
  AdviseHugePages({});
}

TEST(AdviseHugePagesTest, ChangesNoByteAndBringsNoPage) {
  NewMemory memory;
  AdviseHugePages(memory.span().subspan(100, kSize - 200));
  EXPECT_EQ(memory.pages_there(), 0u);
  memory.span()[kSize / 2] = 'x';
  AdviseHugePages(memory.span());
  EXPECT_EQ(memory.span()[kSize / 2], 'x');
}

}  // namespace
}  // namespace cairn
