#include "server/engine/read_pins.h"

#include <utility>
#include <vector>

#include "common/base/status_macros.h"

namespace cairn {

ReadPins::ReadPins(Registry& registry, const Clock& clock, std::string holder, absl::Duration lease)
    : registry_(registry), clock_(clock), holder_(std::move(holder)), lease_(lease) {}

absl::StatusOr<ReadPins::Pin> ReadPins::Acquire(const std::string& uid) {
  {
    absl::MutexLock lock(&mu_);
    const auto found = pinned_.find(uid);
    // A live pin is renewed by Renew(), so its row holds.
    if (found != pinned_.end()) {
      if (Pin pin = found->second.lock()) return pin;
    }
  }
  CAIRN_RETURN_IF_ERROR(registry_.PinCheckpoint(uid, holder_, clock_.Now() + lease_));
  absl::MutexLock lock(&mu_);
  std::weak_ptr<const void>& slot = pinned_[uid];
  if (Pin pin = slot.lock()) return pin;
  Pin pin = std::make_shared<const std::string>(uid);
  slot = pin;
  return pin;
}

absl::Status ReadPins::Renew() {
  std::vector<Pin> live;
  std::vector<std::string> live_uids, dead_uids;
  {
    absl::MutexLock lock(&mu_);
    for (auto it = pinned_.begin(); it != pinned_.end();) {
      if (Pin pin = it->second.lock()) {
        live.push_back(std::move(pin));
        live_uids.push_back(it->first);
        ++it;
      } else {
        dead_uids.push_back(it->first);
        pinned_.erase(it++);
      }
    }
  }
  absl::Status result;
  for (const std::string& uid : live_uids) result.Update(registry_.PinCheckpoint(uid, holder_, clock_.Now() + lease_));
  for (const std::string& uid : dead_uids) {
    {
      // Somebody may have begun to read it again meanwhile.
      absl::MutexLock lock(&mu_);
      if (pinned_.contains(uid)) continue;
    }
    result.Update(registry_.UnpinCheckpoint(uid, holder_));
  }
  return result;
}

}  // namespace cairn
