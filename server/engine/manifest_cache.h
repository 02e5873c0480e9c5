#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/engine/manifest.h"
#include "server/registry/registry.h"
#include "server/store/object_store.h"

namespace cairn {

// Decoded manifests of the checkpoints that were read last. They are immutable, so nothing ever goes stale.
// Thread-safe. Load blocks on the store when the manifest is not there.
class ManifestCache {
 public:
  // Holds about `max_bytes` of decoded manifests, at least one. `store` outlives the cache.
  ManifestCache(ObjectStore& store, uint64_t max_bytes) : store_(store), max_bytes_(max_bytes) {}

  // DATA_LOSS if the object is not what the row says.
  absl::StatusOr<std::shared_ptr<const Manifest>> Load(const CheckpointRow& row) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Cached {
    std::string uid;
    std::shared_ptr<const Manifest> manifest;
    uint64_t bytes = 0;
  };

  ObjectStore& store_;
  const uint64_t max_bytes_;
  absl::Mutex mu_;
  std::list<Cached> recent_ ABSL_GUARDED_BY(mu_);  // Most recent first.
  absl::flat_hash_map<std::string, std::list<Cached>::iterator> index_ ABSL_GUARDED_BY(mu_);
  uint64_t held_bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace cairn
