#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "server/engine/manifest.h"

namespace cairn {

// Finds what a parent has where a save puts something: the extent that lies at the same place of the same shard. One
// thread at a time.
class ParentExtents {
 public:
  // `manifest`, the parent's, outlives the object.
  explicit ParentExtents(const Manifest& manifest);

  // A place within a shard of the parent; what is asked of it ascends.
  struct Cursor {
    const StoredShard* shard = nullptr;  // Null: the parent has no such shard.
    size_t index = 0;                    // Of the extent that begins
    uint64_t position = 0;               // at this byte of the shard.
  };
  // In the shard of that box, at or before byte `start`, if the parent has a tensor of that path and dtype which was saved
  // so (an asset of that path).
  Cursor Find(const Entry& entry, const Box& box, uint64_t start);
  // The extent of just these bytes of the shard; null if there is none.
  const Extent* At(Cursor& cursor, uint64_t offset, uint32_t size);

 private:
  // Numbers of entries as what they are called: in a set of them one is found by an entry of another checkpoint.
  struct Name {
    using is_transparent = void;
    const Manifest* manifest;
    const Entry& EntryOf(uint32_t number) const { return manifest->entries[number].entry; }
    const Entry& EntryOf(const Entry& entry) const { return entry; }
  };
  struct NameHash : Name {
    template <class T>
    size_t operator()(const T& one) const {
      return absl::HashOf(this->EntryOf(one).path, this->EntryOf(one).kind);
    }
  };
  struct NameEqual : Name {
    template <class T, class U>
    bool operator()(const T& one, const U& other) const {
      return this->EntryOf(one).kind == this->EntryOf(other).kind && this->EntryOf(one).path == this->EntryOf(other).path;
    }
  };

  const StoredEntry* FindEntry(const Entry& entry);

  const Manifest& manifest_;
  const NameEqual same_name_;
  size_t last_entry_ = 0;  // Checkpoints of one program have their entries in one order,
  size_t last_shard_ = 0;  // and writers their shards.
  Cursor last_;            // A shard that goes on in another part goes on here.
  absl::flat_hash_set<uint32_t, NameHash, NameEqual> by_name_;  // Made when the order does not help.
};

}  // namespace cairn
