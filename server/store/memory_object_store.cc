#include "server/store/memory_object_store.h"

#include <cstring>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

absl::Status NotFound(absl::string_view key) {
  return absl::NotFoundError(absl::StrCat("object \"", key, "\": not in the store"));
}

absl::Status AlreadyExists(absl::string_view key) {
  return absl::AlreadyExistsError(
      absl::StrCat("object \"", key, "\": exists already; objects are immutable"));
}

// Shared by a store and its writers, so that a writer may outlive the store.
struct Objects {
  absl::Mutex mu;
  // A reader holds on to the bytes while a Delete() takes them out of the map.
  std::map<std::string, std::shared_ptr<const std::string>, std::less<>> by_key ABSL_GUARDED_BY(mu);
};

class MemoryObjectWriter final : public ObjectWriter {
 public:
  MemoryObjectWriter(std::shared_ptr<Objects> objects, std::string key)
      : objects_(std::move(objects)), key_(std::move(key)) {}

  absl::Status Append(absl::Span<const Buffer> pieces) override {
    CAIRN_RETURN_IF_ERROR(state_);
    for (const Buffer& piece : pieces) bytes_.append(piece.data(), piece.size());
    size_ = bytes_.size();
    return absl::OkStatus();
  }

  uint64_t size() const override { return size_; }

  absl::Status Seal() override {
    CAIRN_RETURN_IF_ERROR(state_);
    auto bytes = std::make_shared<const std::string>(std::move(bytes_));
    absl::MutexLock lock(&objects_->mu);
    if (!objects_->by_key.emplace(key_, std::move(bytes)).second) return state_ = AlreadyExists(key_);
    state_ = absl::FailedPreconditionError(absl::StrCat("object \"", key_, "\": its writer is sealed"));
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<Objects> objects_;
  const std::string key_;
  std::string bytes_;
  uint64_t size_ = 0;
  absl::Status state_;  // Why there is nothing more to do; OK while there is.
};

class MemoryObjectStore final : public ObjectStore {
 public:
  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(absl::string_view key,
                                                       uint64_t /*size_hint*/) override {
    CAIRN_RETURN_IF_ERROR(CheckObjectKey(key));
    if (Find(key) != nullptr) return AlreadyExists(key);
    return std::make_unique<MemoryObjectWriter>(objects_, std::string(key));
  }

  absl::Status Read(absl::string_view key, uint64_t offset, absl::Span<char> dst) override {
    CAIRN_RETURN_IF_ERROR(CheckObjectKey(key));
    const std::shared_ptr<const std::string> bytes = Find(key);
    if (bytes == nullptr) return NotFound(key);
    if (offset > bytes->size() || dst.size() > bytes->size() - offset) {
      return absl::OutOfRangeError(absl::StrCat("object \"", key, "\": ", dst.size(), " bytes from ", offset,
                                                " leave the object of ", bytes->size()));
    }
    if (!dst.empty()) std::memcpy(dst.data(), bytes->data() + offset, dst.size());
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Size(absl::string_view key) override {
    CAIRN_RETURN_IF_ERROR(CheckObjectKey(key));
    const std::shared_ptr<const std::string> bytes = Find(key);
    if (bytes == nullptr) return NotFound(key);
    return bytes->size();
  }

  absl::Status Delete(absl::string_view key) override {
    CAIRN_RETURN_IF_ERROR(CheckObjectKey(key));
    absl::MutexLock lock(&objects_->mu);
    const auto found = objects_->by_key.find(key);
    if (found != objects_->by_key.end()) objects_->by_key.erase(found);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix, absl::string_view start_after,
                                               size_t limit) override {
    std::vector<ObjectInfo> listed;
    absl::MutexLock lock(&objects_->mu);
    auto it = start_after < prefix ? objects_->by_key.lower_bound(prefix)
                                   : objects_->by_key.upper_bound(start_after);
    for (; it != objects_->by_key.end() && listed.size() < limit && absl::StartsWith(it->first, prefix);
         ++it) {
      listed.push_back({it->first, it->second->size()});
    }
    return listed;
  }

  absl::StatusOr<uint64_t> RemoveLeftovers() override { return 0; }
  absl::StatusOr<Space> GetSpace() override { return Space{}; }
  std::string Describe() const override { return "memory"; }

 private:
  std::shared_ptr<const std::string> Find(absl::string_view key) const {
    absl::MutexLock lock(&objects_->mu);
    const auto found = objects_->by_key.find(key);
    return found == objects_->by_key.end() ? nullptr : found->second;
  }

  const std::shared_ptr<Objects> objects_ = std::make_shared<Objects>();
};

}  // namespace

std::unique_ptr<ObjectStore> NewMemoryObjectStore() { return std::make_unique<MemoryObjectStore>(); }

}  // namespace cairn
