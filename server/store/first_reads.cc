#include "server/store/first_reads.h"

#include <algorithm>

namespace cairn {

bool FirstReads::IsFirst(absl::string_view key, uint64_t offset) const {
  absl::MutexLock lock(&mu_);
  const auto found = objects_.find(key);
  return found == objects_.end() || !found->second.IsBehind(offset);
}

bool FirstReads::NoteRead(absl::string_view key, uint64_t offset, uint64_t end) {
  absl::MutexLock lock(&mu_);
  // Who has so many objects reads each so seldom that it is new again.
  if (objects_.size() >= kObjects && !objects_.contains(key)) objects_.clear();
  Object& object = objects_[key];
  object.again = object.IsBehind(offset);
  object.end = std::max(object.end, end);
  return !object.again;
}

void FirstReads::Forget(absl::string_view key) {
  absl::MutexLock lock(&mu_);
  objects_.erase(key);
}

}  // namespace cairn
