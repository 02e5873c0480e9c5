#include "server/engine/parent_extents.h"

namespace cairn {

ParentExtents::ParentExtents(const Manifest& manifest)
    : manifest_(manifest), same_name_{{&manifest}}, by_name_(0, NameHash{{&manifest}}, same_name_) {}

const StoredEntry* ParentExtents::FindEntry(const Entry& entry) {
  const std::vector<StoredEntry>& entries = manifest_.entries;
  for (size_t i = last_entry_; i < entries.size() && i < last_entry_ + 2; ++i) {
    if (!same_name_(entries[i].entry, entry)) continue;
    last_entry_ = i;
    return &entries[i];
  }
  if (by_name_.empty()) {
    by_name_.reserve(entries.size());
    for (uint32_t i = 0; i < entries.size(); ++i) by_name_.insert(i);
  }
  const auto found = by_name_.find(entry);
  if (found == by_name_.end()) return nullptr;
  last_entry_ = *found;
  return &entries[*found];
}

ParentExtents::Cursor ParentExtents::Find(const Entry& entry, const Box& box, uint64_t start) {
  const StoredEntry* stored = FindEntry(entry);
  if (stored == nullptr || stored->entry.dtype != entry.dtype) return {};
  const std::vector<StoredShard>& shards = stored->shards;
  for (size_t tried = 0; tried < shards.size(); ++tried) {
    const size_t index = (last_shard_ + tried) % shards.size();
    if (shards[index].box != box) continue;
    last_shard_ = index;
    if (last_.shard == &shards[index] && last_.position <= start) return last_;
    return {&shards[index], 0, 0};
  }
  return {};
}

const Extent* ParentExtents::At(Cursor& cursor, uint64_t offset, uint32_t size) {
  if (cursor.shard == nullptr) return nullptr;
  const std::vector<Extent>& extents = cursor.shard->extents;
  while (cursor.index < extents.size() && cursor.position < offset) cursor.position += extents[cursor.index++].raw_bytes;
  last_ = cursor;
  if (cursor.index == extents.size() || cursor.position != offset || extents[cursor.index].raw_bytes != size) return nullptr;
  return &extents[cursor.index];
}

}  // namespace cairn
