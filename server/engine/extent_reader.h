#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/buffer.h"
#include "server/engine/stored_entry.h"
#include "server/store/object_store.h"

namespace cairn {

// Reads extents whole, checks their digests, and keeps the last few for whoever reads around in them (a box whose rows
// lie in many shards). One thread at a time.
class ExtentReader {
 public:
  // Keeps at most `cache_bytes` of extents, at least one. `store` outlives the reader.
  ExtentReader(ObjectStore& store, uint64_t cache_bytes) : store_(store), cache_bytes_(cache_bytes) {}

  // From now on; what is above it goes with the next Read.
  void set_cache_bytes(uint64_t cache_bytes) { cache_bytes_ = cache_bytes; }

  // The extent's raw bytes. DATA_LOSS that names the object and the position if they are not what was written.
  absl::StatusOr<Buffer> Read(const std::string& object_key, const Extent& extent);

 private:
  struct Cached {
    std::string object_key;
    uint64_t offset = 0;
    Buffer bytes;
  };
  using Key = std::pair<std::string, uint64_t>;

  ObjectStore& store_;
  uint64_t cache_bytes_;
  std::list<Cached> recent_;  // Most recent first.
  absl::flat_hash_map<Key, std::list<Cached>::iterator> index_;
  uint64_t held_bytes_ = 0;
};

}  // namespace cairn
