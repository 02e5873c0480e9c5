#include "server/engine/read_pins.h"

#include <utility>
#include <vector>

#include "common/base/status_macros.h"

namespace cairn {

ReadPins::ReadPins(Registry& registry, const Clock& clock, std::string holder, absl::Duration lease)
    : registry_(registry), clock_(clock), holder_(std::move(holder)), lease_(lease) {}

absl::StatusOr<ReadPins::Pin> ReadPins::Acquire(const std::string& uid) {
  Pin pin;
  {
    absl::MutexLock lock(&mu_);
    Slot& slot = slots_[uid];
    pin = slot.pin.lock();
    if (pin == nullptr) {
      pin = std::make_shared<const std::string>(uid);
      slot.pin = pin;
    }
    // From here on Renew() keeps the row, if there is one that lasts until then.
    if (slot.row_until >= clock_.Now() + lease_ / 2) return pin;
  }
  absl::MutexLock rows(&rows_mu_);
  CAIRN_RETURN_IF_ERROR(MakeRow(uid));
  return pin;
}

absl::Status ReadPins::MakeRow(const std::string& uid) {
  const absl::Time until = clock_.Now() + lease_;
  CAIRN_RETURN_IF_ERROR(registry_.PinCheckpoint(uid, holder_, until));
  absl::MutexLock lock(&mu_);
  slots_[uid].row_until = until;
  return absl::OkStatus();
}

absl::Status ReadPins::Renew() {
  std::vector<std::string> uids;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [uid, slot] : slots_) uids.push_back(uid);
  }
  absl::Status result;
  for (const std::string& uid : uids) {
    absl::MutexLock rows(&rows_mu_);
    Pin pin;
    {
      absl::MutexLock lock(&mu_);
      Slot& slot = slots_[uid];
      pin = slot.pin.lock();
      // Whoever acquires it now finds no row and waits for rows_mu_ to make one: after the removal, not before.
      if (pin == nullptr) slots_.erase(uid);
    }
    result.Update(pin != nullptr ? MakeRow(uid) : registry_.UnpinCheckpoint(uid, holder_));
  }
  return result;
}

}  // namespace cairn
