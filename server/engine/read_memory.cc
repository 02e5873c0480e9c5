#include "server/engine/read_memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <iterator>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace cairn {
namespace {

constexpr uint64_t kLarge = 128u << 10;
constexpr uint64_t kRounding = 64u << 10;
constexpr uint64_t kMaxIdleBytes = 8u << 20;

struct Block {
  void* memory = nullptr;
  uint64_t bytes = 0;
};

class IdleBlocks {
 public:
  // One that is not much larger than that; the one that was given back last, which the processor may still have in its
  // cache.
  Block Take(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    for (auto it = blocks_.rbegin(); it != blocks_.rend(); ++it) {
      if (it->bytes < bytes || it->bytes > bytes + bytes / 2) continue;
      const Block block = *it;
      blocks_.erase(std::next(it).base());
      idle_bytes_ -= block.bytes;
      return block;
    }
    return {};
  }

  // False if enough are here.
  bool Give(Block block) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (idle_bytes_ + block.bytes > kMaxIdleBytes) return false;
    blocks_.push_back(block);
    idle_bytes_ += block.bytes;
    return true;
  }

 private:
  absl::Mutex mu_;
  std::vector<Block> blocks_ ABSL_GUARDED_BY(mu_);
  uint64_t idle_bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

// Never destroyed: frames may be on their way while the process ends.
IdleBlocks& Idle() {
  static IdleBlocks& blocks = *new IdleBlocks();
  return blocks;
}

}  // namespace

std::shared_ptr<char> AllocateReadMemory(uint64_t bytes) {
  if (bytes < kLarge) {
    char* memory = static_cast<char*>(std::malloc(bytes));
    return memory == nullptr ? nullptr : std::shared_ptr<char>(memory, std::free);
  }
  const uint64_t rounded = (bytes + kRounding - 1) / kRounding * kRounding;
  Block block = Idle().Take(rounded);
  if (block.memory == nullptr) {
    block = {::mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), rounded};
    if (block.memory == MAP_FAILED) return nullptr;
  }
  return std::shared_ptr<char>(static_cast<char*>(block.memory), [block](char*) {
    if (!Idle().Give(block)) ::munmap(block.memory, block.bytes);
  });
}

}  // namespace cairn
