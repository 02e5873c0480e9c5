#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cairn {

// Memory for direct I/O, of a huge page's size and place: where the system gives huge pages it is one run of physical
// memory, so a write of it is one request to the disk. Of small pages that lie anywhere it would be many pieces, more
// than some disks take in one request (virtio: 254), and each page would be looked up anew for each write.
// Movable; empty after a move.
class IoBuffer {
 public:
  static constexpr size_t kBytes = size_t{2} << 20;

  IoBuffer() = default;
  // Throws std::bad_alloc.
  static IoBuffer Allocate();
  IoBuffer(IoBuffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  IoBuffer& operator=(IoBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~IoBuffer();

  char* data() { return data_; }
  const char* data() const { return data_; }
  bool empty() const { return data_ == nullptr; }

 private:
  explicit IoBuffer(char* data) : data_(data) {}
  char* data_ = nullptr;
};

// Keeps some buffers between one use and the next: their pages are there already. How many are in use is for its users
// to bound. Thread-safe.
class IoBufferPool {
 public:
  // Buffers that are given back beyond `keep` go to the system.
  explicit IoBufferPool(size_t keep) : keep_(keep) {}

  IoBuffer Take() ABSL_LOCKS_EXCLUDED(mu_);
  void Give(IoBuffer buffer) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const size_t keep_;
  absl::Mutex mu_;
  std::vector<IoBuffer> kept_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cairn
