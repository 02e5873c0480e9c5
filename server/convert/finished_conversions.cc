#include "server/convert/finished_conversions.h"

#include <utility>

namespace cairn {

void FinishedConversions::Add(std::string what, std::string state, ConvertResult result) {
  absl::MutexLock lock(&mu_);
  finished_.push_front({std::move(what), std::move(state), std::move(result)});
  if (finished_.size() > kMost) finished_.pop_back();
}

std::optional<ConvertResult> FinishedConversions::Find(const std::string& what, const std::string& state) const {
  absl::MutexLock lock(&mu_);
  for (const Finished& finished : finished_) {
    if (finished.what == what && finished.state == state) return finished.result;
  }
  return std::nullopt;
}

}  // namespace cairn
