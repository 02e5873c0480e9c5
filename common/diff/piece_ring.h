#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status_macros.h"
#include "common/base/thread_pool.h"

namespace cairn {

// Work that one thread prepares and takes back in the order in which it was prepared, while others do it: reading and writing
// stay sequential. A fixed number of pieces of work, used again and again, bounds the memory. `Work` has a Run().
//
// One thread calls; an error that it returns ends the use of the ring.
template <class Work>
class PieceRing {
 public:
  explicit PieceRing(int threads) : slots_(static_cast<size_t>(2 * threads + 1)), pool_("diff", threads) {
    for (auto& slot : slots_) slot = std::make_unique<Slot>();
  }

  // Work to prepare. If all of it is under way, waits for the oldest and gives it to `take` first.
  template <class Take>
  absl::StatusOr<Work*> Next(const Take& take) {
    Slot& slot = *slots_[next_];
    if (slot.busy) CAIRN_RETURN_IF_ERROR(Finish(slot, take));
    return &slot.work;
  }

  // The work that Next() gave is prepared.
  void Start(Work* /*work*/) {
    Slot* const slot = slots_[next_].get();
    next_ = (next_ + 1) % slots_.size();
    slot->busy = true;
    pool_.Schedule([slot] {
      slot->work.Run();
      const absl::MutexLock lock(&slot->mu);
      slot->done = true;
    });
  }

  // Waits for all that is under way and gives it to `take`.
  template <class Take>
  absl::Status Drain(const Take& take) {
    for (size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = *slots_[(next_ + i) % slots_.size()];
      if (slot.busy) CAIRN_RETURN_IF_ERROR(Finish(slot, take));
    }
    return absl::OkStatus();
  }

 private:
  struct Slot {
    Work work;
    bool busy = false;  // Of the thread that calls.
    absl::Mutex mu;
    bool done ABSL_GUARDED_BY(mu) = false;
  };

  template <class Take>
  absl::Status Finish(Slot& slot, const Take& take) {
    {
      const absl::MutexLock lock(&slot.mu);
      slot.mu.Await(absl::Condition(&slot.done));
      slot.done = false;
    }
    slot.busy = false;
    return take(slot.work);
  }

  std::vector<std::unique_ptr<Slot>> slots_;
  size_t next_ = 0;
  ThreadPool pool_;  // Last: its threads end before the slots do.
};

}  // namespace cairn
