#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/cancellation.h"
#include "common/base/clock.h"
#include "server/registry/registry.h"
#include "server/store/object_store.h"

namespace cairn {

// What has been done. With dry_run: what would be, except that what a killed process left half-written is not counted.
struct GarbageReport {
  uint64_t purged_checkpoints = 0;  // Deleted ones that are now forgotten.
  uint64_t expired_sessions = 0;
  uint64_t deleted_objects = 0;
  uint64_t deleted_bytes = 0;
};

// Removes what no committed checkpoint, open session or running read needs. Safe beside saves and loads of any number
// of daemons (README.md tells why), and safe to stop at any point. Blocks. ABORTED if another daemon is at it.
absl::StatusOr<GarbageReport> CollectGarbage(ObjectStore& store, Registry& registry, const Clock& clock,
                                             const std::string& holder, bool dry_run, const Cancellation& cancellation,
                                             const std::function<void(const GarbageReport&)>& progress);

}  // namespace cairn
