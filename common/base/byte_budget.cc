#include "common/base/byte_budget.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr absl::Duration kCancellationInterval = absl::Milliseconds(50);

}  // namespace

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

void ByteBudget::Reservation::ShrinkTo(uint64_t bytes) {
  if (budget_ == nullptr || bytes >= bytes_) return;
  budget_->Return(std::exchange(bytes_, bytes) - bytes);
}

void ByteBudget::Acquire(uint64_t bytes, std::function<void(Reservation)> granted) { AcquireOrWait(bytes, std::move(granted)); }

uint64_t ByteBudget::AcquireOrWait(uint64_t bytes, std::function<void(Reservation)> granted) {
  bytes = std::min(bytes, limit_);
  {
    absl::MutexLock lock(&mu_);
    if (!waiters_.empty() || free_ < bytes) {
      waiters_.push_back({++last_waiter_, bytes, std::move(granted)});
      return last_waiter_;
    }
    free_ -= bytes;
  }
  granted(Reservation(this, bytes));
  return 0;
}

bool ByteBudget::Withdraw(uint64_t number) {
  {
    absl::MutexLock lock(&mu_);
    const auto waiter = std::find_if(waiters_.begin(), waiters_.end(), [&](const Waiter& each) { return each.number == number; });
    if (waiter == waiters_.end()) return false;
    waiters_.erase(waiter);
  }
  Return(0);  // Those behind it may have all they need.
  return true;
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

absl::StatusOr<ByteBudget::Reservation> ByteBudget::AcquireBlocking(uint64_t bytes, const Cancellation& cancellation) {
  Reservation held;
  absl::Notification done;
  const uint64_t waiter = AcquireOrWait(bytes, [&](Reservation reservation) {
    held = std::move(reservation);
    done.Notify();
  });
  while (!done.WaitForNotificationWithTimeout(kCancellationInterval)) {
    if (!cancellation.cancelled()) continue;
    if (Withdraw(waiter)) break;
    done.WaitForNotification();  // Somebody grants it just now.
  }
  CAIRN_RETURN_IF_ERROR(cancellation.Check());
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
