#pragma once

#include <sys/types.h>

#include <memory>
#include <utility>

#include "absl/status/status.h"

namespace cairn::python {

// gRPC's threads do not survive fork(), and its locks may be held by threads that are gone: in a child, everything that
// was made before the fork must neither be used nor be destroyed.

// To be called before the first use of gRPC. FAILED_PRECONDITION (FORKED) if an ancestor of this process did so before
// the fork.
absl::Status ClaimGrpcForThisProcess();

pid_t CurrentProcess();

// What the use of something that was made before the fork gets.
absl::Status ForkedError(const char* what);

// Shared ownership that is let go in the process where the object was made, and nowhere else: a forked child leaks it.
template <typename T>
class ForkSafe {
 public:
  ForkSafe() = default;
  explicit ForkSafe(std::shared_ptr<T> object) : object_(std::make_unique<std::shared_ptr<T>>(std::move(object))) {}
  ForkSafe(ForkSafe&&) = default;
  ForkSafe& operator=(ForkSafe&&) = delete;
  ~ForkSafe() {
    if (forked()) (void)object_.release();
  }

  bool forked() const { return pid_ != CurrentProcess(); }
  // Null after Take(). Not in a forked child.
  std::shared_ptr<T> get() const { return object_ == nullptr ? nullptr : *object_; }
  // What there was, to be destroyed by the caller. Not in a forked child.
  std::shared_ptr<T> Take() {
    std::unique_ptr<std::shared_ptr<T>> taken = std::move(object_);
    return taken == nullptr ? nullptr : std::move(*taken);
  }

 private:
  const pid_t pid_ = CurrentProcess();
  std::unique_ptr<std::shared_ptr<T>> object_;
};

}  // namespace cairn::python
