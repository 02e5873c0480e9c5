#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/buffer.h"
#include "common/base/byte_budget.h"
#include "common/base/thread_pool.h"
#include "server/engine/extent_fetch.h"
#include "server/engine/manifest.h"
#include "server/store/object_store.h"

namespace cairn {

// Reads extents whole, checks their digests, and keeps the last few for whoever reads around in them (a box whose rows
// lie in many shards). Reads ahead what it is told to, small neighbours with one call of the store. One thread at a
// time; what it reads ahead it may read in others.
class ExtentReader {
 public:
  // Keeps at most `cache_bytes` of extents, at least what was read last. `store` outlives the reader and the threads
  // that read ahead; the manifests that it is given outlive the reader.
  ExtentReader(ObjectStore& store, uint64_t cache_bytes) : store_(store), cache_bytes_(cache_bytes) {}
  ~ExtentReader();
  ExtentReader(const ExtentReader&) = delete;
  ExtentReader& operator=(const ExtentReader&) = delete;

  // From now on; what is above it goes with the next Read.
  void set_cache_bytes(uint64_t cache_bytes) { cache_bytes_ = cache_bytes; }

  // The raw bytes of an extent of `manifest`, however they are stored. DATA_LOSS that names the object and the position
  // if they are not what was written. `crc32c`, if wanted, becomes that of all of them.
  absl::StatusOr<Buffer> Read(const Manifest& manifest, const Extent& extent, uint32_t* crc32c = nullptr);

  // That Read will be called so, in this order. Held back until something else comes that does not lie behind it, or
  // until StartAhead().
  void WillRead(const Manifest& manifest, const Extent& extent, bool checksum);
  // Begins to read what was announced, in the threads of `pool`, as far as the store says that it may have to wait for
  // it; the rest, or all of it if there is no pool, is read with the first Read() of it. What the threads read holds
  // `memory` until Read() asks for it.
  void StartAhead(ThreadPool* pool, std::shared_ptr<const ByteBudget::Reservation> memory);
  // Announced, and no Read() yet.
  uint64_t ahead_bytes() const { return ahead_bytes_; }

 private:
  struct Slot {
    std::shared_ptr<ExtentFetch> fetch;
    bool ahead = false;  // It is one of ahead_,
    bool begun = true;   // and StartAhead() has had it.
  };
  using Slots = std::list<Slot>;
  struct Place {
    Slots::iterator slot;
    size_t index;  // Within the fetch.
  };
  using Key = std::pair<absl::string_view, uint64_t>;

  const Place* Find(const std::string& object_key, const Extent& extent) const;
  void Touch(Slots::iterator slot);
  void Forget(Slots::iterator slot);

  ObjectStore& store_;
  uint64_t cache_bytes_;
  absl::flat_hash_map<Key, Place> index_;
  Slots recent_;  // Those that Read() asked for, most recent first,
  Slots ahead_;   // and those that it did not yet, in their order.
  uint64_t recent_bytes_ = 0;
  uint64_t ahead_bytes_ = 0;
  size_t waiting_ = 0;  // So many of the last of ahead_ are not begun.
};

}  // namespace cairn
