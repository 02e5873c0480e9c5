#include "common/format/dcp/chunk_cache.h"

#include <algorithm>
#include <utility>

#include "common/base/status_macros.h"

namespace cairn {

absl::Status ChunkCache::ReadAt(uint32_t key, const DcpSlice& slice, Dtype dtype,
                                absl::Span<const int64_t> stored_shape, uint64_t offset, absl::Span<char> dst) {
  auto found = open_.find(key);
  // Nothing keeps two tensors from naming one slice, each with a shape of its own.
  if (found != open_.end() &&
      (found->second.dtype != dtype || absl::MakeConstSpan(found->second.stored_shape) != stored_shape)) {
    memory_ -= found->second.chunk.memory;
    open_.erase(found);
    found = open_.end();
  }
  if (found == open_.end()) {
    CAIRN_ASSIGN_OR_RETURN(DcpFiles::Chunk chunk, files_->OpenChunk(slice, dtype, stored_shape, limits_));
    while (!open_.empty() && (open_.size() >= kMaxChunks || memory_ + chunk.memory > kMaxMemory)) {
      const auto oldest = std::min_element(open_.begin(), open_.end(), [](const auto& a, const auto& b) {
        return a.second.last_use < b.second.last_use;
      });
      memory_ -= oldest->second.chunk.memory;
      open_.erase(oldest);
    }
    memory_ += chunk.memory;
    found = open_.emplace(key, Open{std::move(chunk), dtype, Shape(stored_shape.begin(), stored_shape.end())}).first;
  }
  found->second.last_use = ++clock_;
  return found->second.chunk.bytes->ReadAt(offset, dst);
}

}  // namespace cairn
