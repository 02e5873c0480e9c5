#include "common/base/byte_budget.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"

namespace cairn {

ByteBudget::Reservation::Reservation(Reservation&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

ByteBudget::Reservation& ByteBudget::Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    Release();
    budget_ = std::exchange(other.budget_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void ByteBudget::Reservation::Release() {
  if (budget_ == nullptr) return;
  std::exchange(budget_, nullptr)->Return(std::exchange(bytes_, 0));
}

void ByteBudget::Acquire(uint64_t bytes, std::function<void(Reservation)> granted) {
  bytes = std::min(bytes, limit_);
  {
    absl::MutexLock lock(&mu_);
    if (!waiters_.empty() || free_ < bytes) {
      waiters_.push_back({bytes, std::move(granted)});
      return;
    }
    free_ -= bytes;
  }
  granted(Reservation(this, bytes));
}

ByteBudget::Reservation ByteBudget::TryAcquire(uint64_t bytes, uint64_t leave) {
  absl::MutexLock lock(&mu_);
  if (!waiters_.empty() || free_ < bytes || free_ - bytes < leave) return {};
  free_ -= bytes;
  return Reservation(this, bytes);
}

bool ByteBudget::HasWaiters() const {
  absl::MutexLock lock(&mu_);
  return !waiters_.empty();
}

ByteBudget::Reservation ByteBudget::AcquireBlocking(uint64_t bytes) {
  Reservation held;
  absl::Notification done;
  Acquire(bytes, [&](Reservation reservation) {
    held = std::move(reservation);
    done.Notify();
  });
  done.WaitForNotification();
  return held;
}

uint64_t ByteBudget::in_use() const {
  absl::MutexLock lock(&mu_);
  return limit_ - free_;
}

void ByteBudget::Return(uint64_t bytes) {
  std::vector<Waiter> served;
  {
    absl::MutexLock lock(&mu_);
    free_ += bytes;
    while (!waiters_.empty() && waiters_.front().bytes <= free_) {
      free_ -= waiters_.front().bytes;
      served.push_back(std::move(waiters_.front()));
      waiters_.pop_front();
    }
  }
  // Outside the lock: a callback may acquire again.
  for (Waiter& waiter : served) waiter.granted(Reservation(this, waiter.bytes));
}

}  // namespace cairn
