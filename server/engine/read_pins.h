#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "server/registry/registry.h"

namespace cairn {

// Keeps checkpoints that are being read safe from garbage collection, also by other daemons: one row per daemon and
// checkpoint in the registry, renewed while anybody reads and dropped some time after the last. Thread-safe.
class ReadPins {
 public:
  // A pin; the checkpoint may be collected some time after the last copy is gone. Its end touches memory only.
  using Pin = std::shared_ptr<const void>;

  // `holder` names this daemon. `registry` and `clock` outlive the object and every pin.
  ReadPins(Registry& registry, const Clock& clock, std::string holder, absl::Duration lease = absl::Minutes(5));

  // Pins a checkpoint. NOT_FOUND if it is deleted. Blocks on the registry where nobody has read it lately.
  absl::StatusOr<Pin> Acquire(const std::string& uid) ABSL_LOCKS_EXCLUDED(mu_);

  // Renews the rows that are in use and drops the others. Called every now and then, well within the lease.
  absl::Status Renew() ABSL_LOCKS_EXCLUDED(mu_);

  absl::Duration lease() const { return lease_; }

 private:
  struct Slot {
    std::weak_ptr<const void> pin;
    absl::Time row_until = absl::InfinitePast();  // When the registry's row ends; the past: there may be none.
  };
  absl::Status MakeRow(const std::string& uid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(rows_mu_) ABSL_LOCKS_EXCLUDED(mu_);

  Registry& registry_;
  const Clock& clock_;
  const std::string holder_;
  const absl::Duration lease_;
  // Held while rows are made and removed, so that one reader's end does not take the row of another's beginning.
  // Taken before mu_.
  absl::Mutex rows_mu_;
  absl::Mutex mu_;
  absl::flat_hash_map<std::string, Slot> slots_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cairn
