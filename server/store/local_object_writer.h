#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/byte_budget.h"
#include "common/io/io_buffer.h"
#include "server/store/object_folders.h"
#include "server/store/object_store.h"
#include "server/store/scratch_folder.h"

namespace cairn {

// The folders of an open local store, shared with its writers: the scratch folder stays locked until the last
// of them is gone.
struct LocalStoreFolders {
  ObjectFolders objects;
  std::unique_ptr<const ScratchFolder> scratch;
  bool durable = true;
  bool direct_reads = false;
  bool direct_writes = false;  // Past the page cache.
  std::unique_ptr<ByteBudget> direct_memory;  // Of writers that do so.
  // Kept for the next objects: as much as two have that follow each other.
  std::unique_ptr<IoBufferPool> direct_buffers = std::make_unique<IoBufferPool>(8);
};

// Starts the file of an object. ALREADY_EXISTS if the key is taken. `size_hint` as for ObjectStore::Create().
absl::StatusOr<std::unique_ptr<ObjectWriter>> CreateLocalObjectWriter(
    std::shared_ptr<const LocalStoreFolders> folders, std::string key, uint64_t size_hint);

}  // namespace cairn
