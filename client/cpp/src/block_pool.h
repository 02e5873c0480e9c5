#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cairn::client {

// Blocks of one size that are used again: pages that have been touched once cost nothing the next time, and fresh
// ones cost more than the copy into them. Thread-safe; blocks may outlive the pool.
class BlockPool {
 public:
  // Keeps up to `max_free` blocks that nobody uses.
  BlockPool(size_t block_bytes, size_t max_free) : shared_(std::make_shared<Shared>(block_bytes, max_free)) {}

  size_t block_bytes() const { return shared_->block_bytes; }
  // A block with any content; it goes back when the last copy of the pointer goes.
  std::shared_ptr<char> Take();

 private:
  struct Shared {
    Shared(size_t bytes, size_t free_blocks) : block_bytes(bytes), max_free(free_blocks) {}
    const size_t block_bytes;
    const size_t max_free;
    absl::Mutex mu;
    std::vector<std::unique_ptr<char[]>> free ABSL_GUARDED_BY(mu);
  };
  const std::shared_ptr<Shared> shared_;
};

}  // namespace cairn::client
