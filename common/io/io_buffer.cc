#include "common/io/io_buffer.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace cairn {

IoBuffer IoBuffer::Allocate() {
  // Twice as much, of which the part that begins at a multiple of the size stays.
  void* const mapped = ::mmap(nullptr, 2 * kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  char* const begin = static_cast<char*>(mapped);
  const size_t before = -reinterpret_cast<uintptr_t>(begin) % kBytes;
  if (before > 0) ::munmap(begin, before);
  ::munmap(begin + before + kBytes, kBytes - before);
  ::madvise(begin + before, kBytes, MADV_HUGEPAGE);  // A wish: small pages do as well.
  return IoBuffer(begin + before);
}

IoBuffer::~IoBuffer() {
  if (data_ != nullptr) ::munmap(data_, kBytes);
}

IoBuffer IoBufferPool::Take() {
  {
    absl::MutexLock lock(&mu_);
    if (!kept_.empty()) {
      IoBuffer buffer = std::move(kept_.back());
      kept_.pop_back();
      return buffer;
    }
  }
  return IoBuffer::Allocate();
}

void IoBufferPool::Give(IoBuffer buffer) {
  absl::MutexLock lock(&mu_);  // Ends before `buffer` does.
  if (!buffer.empty() && kept_.size() < keep_) kept_.push_back(std::move(buffer));
}

}  // namespace cairn
