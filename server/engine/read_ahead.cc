#include "server/engine/read_ahead.h"

namespace cairn {
namespace {

// Hints cost a system call each: not one for every small tensor.
constexpr uint64_t kTellBytes = 2u << 20;

}  // namespace

void ReadAhead::Reached(uint64_t position) {
  // A resumed read begins in the middle: what lies before it is passed over untold.
  while (announced_ < position + window_bytes_) {
    const Extent* extent = NextExtent();
    if (extent == nullptr) return Tell();
    announced_ += extent->raw_bytes;
    if (announced_ <= position) continue;
    if (length_ > 0 && (extent->object != object_ || extent->offset != offset_ + length_)) Tell();
    if (length_ == 0) {
      object_ = extent->object;
      offset_ = extent->offset;
    }
    length_ += extent->stored_bytes;
    if (length_ >= kTellBytes) Tell();
  }
}

const Extent* ReadAhead::NextExtent() {
  while (entry_ < entries_.size()) {
    const std::vector<StoredShard>& shards = manifest_.entries[entries_[entry_]].shards;
    if (shard_ < shards.size() && extent_ < shards[shard_].extents.size()) return &shards[shard_].extents[extent_++];
    extent_ = 0;
    if (++shard_ >= shards.size()) {
      shard_ = 0;
      ++entry_;
    }
  }
  return nullptr;
}

void ReadAhead::Tell() {
  if (length_ > 0) store_.WillRead(manifest_.objects[object_], offset_, length_);
  length_ = 0;
}

}  // namespace cairn
