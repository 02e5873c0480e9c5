#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/store/object_store.h"

namespace cairn {

struct LocalObjectStoreOptions {
  std::string root;     // Made if missing; its parent folder must exist.
  bool durable = true;  // fsync. False only for tests and benchmarks.
  // Read what the page cache has not straight from the disk, and leave the cache as it is.
  bool direct_reads = false;
  // Memory for writing past the page cache: 8 MiB for each object that is being written, 4 once half is taken; those
  // beyond it go through the cache. 0: all do. File systems in memory have nothing to write past.
  uint64_t direct_write_bytes = 32u << 20;
};

// Objects as files below a folder; LOCAL_STORE.md has the layout. Several processes may use one root at once.
// PERMISSION_DENIED, RESOURCE_EXHAUSTED; NOT_FOUND without the parent; FAILED_PRECONDITION if its folders lie
// on different file systems.
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenLocalObjectStore(LocalObjectStoreOptions options);

}  // namespace cairn
