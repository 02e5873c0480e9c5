#pragma once

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace cairn {

// Time as an argument, so that leases, ages and retries can be tested without waiting. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
  virtual void Sleep(absl::Duration duration) const = 0;

  // The wall clock. Never destroyed.
  static const Clock& Real();
};

}  // namespace cairn
