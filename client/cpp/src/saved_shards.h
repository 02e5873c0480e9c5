#pragma once

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/types.h"
#include "client/cpp/src/stub.h"
#include "client/cpp/src/upload_entry.h"

namespace cairn::client {

// What the daemon has of one writer's entries, by its own account: from an earlier process, or from before a
// connection broke.
class SavedShards {
 public:
  // Asks the daemon, page by page.
  static absl::StatusOr<SavedShards> Load(Stub& stub, const PutSpec& spec, const CallLimits& limits);

  // For tests and for Load. Shards of no bytes are left out: they are sent again, which is cheaper than to know what
  // kind of entry they were.
  void Add(const ShardStatus& shard);

  // Lets `entry` go on behind what the daemon has of it, and returns how many durable bytes that are more than were
  // known. FAILED_PRECONDITION if it was begun with another size, DATA_LOSS if the daemon has less than it had
  // acknowledged.
  absl::StatusOr<uint64_t> CatchUp(UploadEntry& entry);

 private:
  struct Shard {
    uint64_t durable_bytes = 0;
    uint64_t total_bytes = 0;
    bool finished = false;
  };
  absl::flat_hash_map<std::string, Shard> shards_;  // By ShardKey; those that no entry has caught up with.
};

}  // namespace cairn::client
