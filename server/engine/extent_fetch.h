#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/base/buffer.h"
#include "common/base/byte_budget.h"
#include "server/engine/extent_chain.h"
#include "server/engine/stored_entry.h"
#include "server/store/object_store.h"

namespace cairn {

// One read of the store: extents that lie one behind the other in an object, each checked against its digest; or one that
// is a delta, and all that it is made of. Whoever comes first runs it: a thread that reads ahead, or the reader who cannot
// wait for one. Thread-safe, but for Add() and SetChain().
class ExtentFetch {
 public:
  // `store` outlives whoever runs it.
  ExtentFetch(ObjectStore& store, absl::string_view object_key) : store_(store), object_key_(object_key) {}

  // One more, before anybody runs it. `checksum`: its CRC-32C is wanted too, and is cheap while it is being digested.
  void Add(const Extent& extent, bool checksum);
  // The one extent that was added is made of these; nothing is read with it.
  void SetChain(std::vector<ChainLink> links) { chain_ = std::move(links); }
  bool IsChain() const { return !chain_.empty(); }
  size_t size() const { return parts_.size(); }
  const Extent& extent(size_t index) const { return parts_[index].extent; }
  absl::string_view object_key() const { return object_key_; }
  uint64_t offset() const { return parts_.front().extent.offset; }
  uint64_t bytes() const { return bytes_; }
  // Tells the store that this will be read. True if that may have to wait for a disk.
  bool Announce() const;

  // Reads, unless somebody does or did already.
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  // Nobody wants it any more, so nobody shall begin. One who has begun finishes, and uses nothing but the store and
  // memory of its own.
  void Abandon() ABSL_LOCKS_EXCLUDED(mu_);
  // What its memory is counted in, until it is abandoned or somebody says that it is counted elsewhere.
  void set_reservation(std::shared_ptr<const ByteBudget::Reservation> reservation) ABSL_LOCKS_EXCLUDED(mu_);
  void ReleaseReservation() ABSL_LOCKS_EXCLUDED(mu_) { set_reservation(nullptr); }
  // Returns once it is read: runs it, or waits for whoever does.
  void Await() ABSL_LOCKS_EXCLUDED(mu_);

  struct Result {
    Buffer bytes;
    std::optional<uint32_t> crc32c;
  };
  // After Await(). DATA_LOSS that names object and position if the bytes are not what was written.
  absl::StatusOr<Result> Get(size_t index) const;
  // After Await(): the read failed as a whole, so that nothing is known of single extents.
  bool failed() const { return !read_.ok(); }

 private:
  enum class State { kWaiting, kRunning, kDone };
  struct Part {
    Extent extent;
    uint64_t begin = 0;  // Within the memory.
    bool checksum = false;
    Digest found;
    uint32_t crc32c = 0;
  };

  bool Claim() ABSL_LOCKS_EXCLUDED(mu_);
  void ReadAndDigest();
  void ReadAndDigestChain();
  bool IsDone() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return state_ == State::kDone; }

  ObjectStore& store_;
  const std::string object_key_;
  std::vector<Part> parts_;
  std::vector<ChainLink> chain_;
  uint64_t bytes_ = 0;
  std::shared_ptr<char> memory_;
  absl::Status read_;

  absl::Mutex mu_;
  State state_ ABSL_GUARDED_BY(mu_) = State::kWaiting;
  bool abandoned_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<const ByteBudget::Reservation> reservation_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cairn
