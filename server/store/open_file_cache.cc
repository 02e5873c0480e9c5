#include "server/store/open_file_cache.h"

#include <iterator>
#include <utility>

namespace cairn {

OpenFileCache::Found OpenFileCache::Find(absl::string_view key) {
  absl::MutexLock lock(&mu_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return {nullptr, epoch_};
  by_use_.splice(by_use_.begin(), by_use_, found->second);
  return {found->second->file, epoch_};
}

void OpenFileCache::Insert(absl::string_view key, std::shared_ptr<const OpenFile> file, uint64_t epoch) {
  std::list<Entry> closed;  // Declared before the lock: destroyed after it.
  absl::MutexLock lock(&mu_);
  if (epoch != epoch_ || by_key_.contains(key)) return;
  by_use_.push_front({std::string(key), std::move(file)});
  by_key_.emplace(key, by_use_.begin());
  if (by_use_.size() <= capacity_) return;
  by_key_.erase(by_use_.back().key);
  closed.splice(closed.begin(), by_use_, std::prev(by_use_.end()));
}

void OpenFileCache::Erase(absl::string_view key) {
  std::list<Entry> closed;
  absl::MutexLock lock(&mu_);
  ++epoch_;
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  closed.splice(closed.begin(), by_use_, found->second);
  by_key_.erase(found);
}

}  // namespace cairn
