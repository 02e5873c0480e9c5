#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "common/base/thread_pool.h"
#include "server/registry/registry.h"
#include "server/store/object_store.h"

namespace cairn {

// A part that has all its bytes, but is not durable.
struct FilledPart {
  std::unique_ptr<ObjectWriter> object;  // Null if it brought no new bytes.
  SessionPart part;
  std::vector<NewExtent> extents;
};

// Makes the parts of one writer durable, in their order and one at a time, beside the stream that fills the next: an
// fsync waits for the disk, and the wire would stand still meanwhile. One thread at a time.
class PartSealer {
 public:
  // All outlive the sealer.
  PartSealer(Registry& registry, const Clock& clock, ThreadPool& pool, std::string session_id);
  // Waits for the part that is under way: its bytes are all there, and whoever takes the session up again shall find
  // them recorded.
  ~PartSealer();

  // Waits for the part before; an error of that one is this call's, and `part` is dropped.
  absl::Status Start(FilledPart part);
  // Whether Await() would return at once.
  bool Idle() const;
  // Waits until everything that was started is durable. Returns the first error, from then on always.
  absl::Status Await();

 private:
  // What the pool's thread and the owner share.
  struct State {
    absl::Mutex mu;
    bool busy ABSL_GUARDED_BY(mu) = false;
    absl::Status status ABSL_GUARDED_BY(mu);
  };

  Registry& registry_;
  const Clock& clock_;
  ThreadPool& pool_;
  const std::string session_id_;
  const std::unique_ptr<State> state_ = std::make_unique<State>();
};

}  // namespace cairn
