#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "cairn/types.h"
#include "cairn/v1/checkpoint_service.pb.h"
#include "client/cpp/src/saved_shards.h"
#include "client/cpp/src/upload_entry.h"

namespace cairn::client {

// A PutProgress that one thread changes and others look at.
class PutCounters {
 public:
  template <typename F>
  void Change(F change) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    change(progress_);
  }
  PutProgress progress() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return progress_;
  }

 private:
  mutable absl::Mutex mu_;
  PutProgress progress_ ABSL_GUARDED_BY(mu_);
};

// The entries of a PutStream that are under way, in order: what of them was sent on the call that is open now, what
// of that is durable, what comes next, and when the daemon must be asked to make something durable. Pure bookkeeping:
// it neither reads bytes nor knows a connection.
class PutWindow {
 public:
  struct Limits {
    uint32_t chunk_bytes = 0;          // Of one message.
    uint64_t max_unacknowledged = 0;   // Bytes sent, but not durable.
    uint64_t max_retained = 0;         // Bytes pushed, but not durable.
    size_t max_entries = 16384;        // Sent whole, but not durable.
  };
  // The message to send next: so many bytes of that entry, from entry->sent on.
  struct Part {
    UploadEntry* entry;
    uint64_t bytes;
    bool declare;  // The entry was not yet declared on this call.
    bool finish;   // Nothing of it will follow.
  };

  // `counters` outlives the window.
  PutWindow(const Limits& limits, PutCounters* counters) : limits_(limits), counters_(*counters) {}

  // Adds an entry, less what the daemon has of it. False if that is all of it, so that it was not added.
  absl::StatusOr<bool> Add(std::unique_ptr<UploadEntry> entry, SavedShards& saved);
  // More bytes of the last entry, which are pushed.
  void Push(Buffer bytes);
  // The last entry has all its bytes. Forgets it if the daemon turned out to have all of it.
  void CompleteLast();

  // Nothing if all that can be sent has been.
  std::optional<Part> Next() const;
  // Whether so many bytes may be sent before something becomes durable.
  bool HasRoom(uint64_t bytes) const;
  void MarkSent(const Part& part) { MarkSent(part, part.bytes); }
  // `wire_bytes`: of what was sent for it, which was a delta.
  void MarkSent(const Part& part, uint64_t wire_bytes);

  // Whether the daemon should be asked to make durable what it has: before a limit is reached, so that the answer
  // comes while the rest of it is being sent. There must be whole extents: a flush that changes nothing is not
  // answered.
  bool WantsFlush() const;
  bool flush_pending() const { return flush_pending_; }  // Asked for, and no answer came since.
  void FlushAsked() { flush_pending_ = true; }

  bool RetainsTooMuch() const { return retained_ >= limits_.max_retained; }
  // Every complete entry is durable.
  bool Settled() const { return entries_.empty() || !entries_.front()->complete; }

  // What the daemon says is durable of this call. Returns how many bytes that are more than before. INTERNAL if it is
  // more than was sent.
  absl::StatusOr<uint64_t> Acknowledge(const v1::PutTensorResponse& answer);

  // The entry of that shown path and box, if it is on its way; null otherwise.
  UploadEntry* Find(absl::string_view path, absl::string_view box);

  // Another call begins: every entry goes on behind the last byte that the daemon has of it. Returns how many durable
  // bytes that are more than were known.
  absl::StatusOr<uint64_t> Restart(SavedShards& saved);

 private:
  // Entries that the daemon may call durable whole.
  uint64_t FinishedOnCall() const;
  uint64_t SetDurable(UploadEntry& entry, uint64_t durable);
  void CountEntry();

  const Limits limits_;
  PutCounters& counters_;
  std::deque<std::unique_ptr<UploadEntry>> entries_;  // Not yet durable.
  size_t next_ = 0;              // Of entries_: the first that is not sent whole on this call.
  uint64_t declared_ = 0;        // Entries, on this call.
  uint64_t deduplicated_ = 0;    // Bytes, on this call.
  uint64_t unacknowledged_ = 0;  // Bytes sent on this call, not durable.
  uint64_t retained_ = 0;        // Bytes pushed, not durable.
  bool flush_pending_ = false;
};

}  // namespace cairn::client
