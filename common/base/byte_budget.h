#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/cancellation.h"

namespace cairn {

// Memory counted in bytes: what all streams of a process together may hold.
//
// Thread-safe. Nothing here blocks unless its name says so. Waiters are served in order of arrival, so a large
// request is not starved by small ones. The budget must outlive every reservation.
class ByteBudget {
 public:
  // Some bytes of the budget, given back by the destructor. Movable.
  class Reservation {
   public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept;
    Reservation& operator=(Reservation&& other) noexcept;
    ~Reservation() { Release(); }
    void Release();
    // Keeps at most so many.
    void ShrinkTo(uint64_t bytes);
    uint64_t bytes() const { return bytes_; }

   private:
    friend class ByteBudget;
    Reservation(ByteBudget* budget, uint64_t bytes) : budget_(budget), bytes_(bytes) {}
    ByteBudget* budget_ = nullptr;
    uint64_t bytes_ = 0;
  };

  explicit ByteBudget(uint64_t limit_bytes) : limit_(limit_bytes), free_(limit_bytes) {}

  // Calls `granted` once the bytes are there: at once and in this thread if they are, else later in the thread
  // that gave bytes back. `granted` must not block. A request above the limit waits for the whole budget and
  // gets it.
  void Acquire(uint64_t bytes, std::function<void(Reservation)> granted) ABSL_LOCKS_EXCLUDED(mu_);

  // An empty reservation (bytes() == 0) if others wait, or if less than `leave` would be free afterwards.
  Reservation TryAcquire(uint64_t bytes, uint64_t leave = 0) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether somebody waits: whoever holds more than it needs gives it back then.
  bool HasWaiters() const ABSL_LOCKS_EXCLUDED(mu_);

  // Blocks until the bytes are there. Not for callback threads.
  Reservation AcquireBlocking(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // The same until it is cancelled: CANCELLED soon afterwards, and whoever waited behind moves up.
  absl::StatusOr<Reservation> AcquireBlocking(uint64_t bytes, const Cancellation& cancellation) ABSL_LOCKS_EXCLUDED(mu_);

  uint64_t limit() const { return limit_; }
  uint64_t in_use() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Waiter {
    uint64_t number;
    uint64_t bytes;
    std::function<void(Reservation)> granted;
  };
  // The number of the waiter that it has become; 0 if it was granted at once.
  uint64_t AcquireOrWait(uint64_t bytes, std::function<void(Reservation)> granted) ABSL_LOCKS_EXCLUDED(mu_);
  // False if it waits no more.
  bool Withdraw(uint64_t number) ABSL_LOCKS_EXCLUDED(mu_);
  void Return(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

  const uint64_t limit_;
  mutable absl::Mutex mu_;
  uint64_t free_ ABSL_GUARDED_BY(mu_);
  uint64_t last_waiter_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Waiter> waiters_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cairn
