#pragma once

#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace cairn {

// A long stream that wants to look at the clock now and then.
class ActiveStream {
 public:
  virtual ~ActiveStream() = default;
  // Must not block.
  virtual void Tick(absl::Time now) = 0;
};

// The streams that are open, so that one timer serves them all. Thread-safe.
class ActiveStreams {
 public:
  void Add(std::weak_ptr<ActiveStream> stream) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    streams_.push_back(std::move(stream));
  }

  void Tick(absl::Time now) ABSL_LOCKS_EXCLUDED(mu_) {
    std::vector<std::shared_ptr<ActiveStream>> live;
    {
      absl::MutexLock lock(&mu_);
      std::vector<std::weak_ptr<ActiveStream>> kept;
      for (std::weak_ptr<ActiveStream>& stream : streams_) {
        if (std::shared_ptr<ActiveStream> alive = stream.lock()) {
          live.push_back(std::move(alive));
          kept.push_back(std::move(stream));
        }
      }
      streams_ = std::move(kept);
    }
    for (const std::shared_ptr<ActiveStream>& stream : live) stream->Tick(now);
  }

 private:
  absl::Mutex mu_;
  std::vector<std::weak_ptr<ActiveStream>> streams_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cairn
