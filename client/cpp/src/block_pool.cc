#include "client/cpp/src/block_pool.h"

#include <utility>

namespace cairn::client {

std::shared_ptr<char> BlockPool::Take() {
  std::unique_ptr<char[]> block;
  {
    absl::MutexLock lock(&shared_->mu);
    if (!shared_->free.empty()) {
      block = std::move(shared_->free.back());
      shared_->free.pop_back();
    }
  }
  if (block == nullptr) block.reset(new char[shared_->block_bytes]);
  return std::shared_ptr<char>(block.release(), [shared = shared_](char* done) {
    std::unique_ptr<char[]> owned(done);
    absl::MutexLock lock(&shared->mu);
    if (shared->free.size() < shared->max_free) shared->free.push_back(std::move(owned));
  });
}

}  // namespace cairn::client
