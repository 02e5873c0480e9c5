#pragma once

#include <atomic>
#include <memory>

#include "absl/status/status.h"

namespace cairn {

// A flag that somebody raises (a signal, a dropped connection) and long work looks at between windows.
// Copies share the flag. Thread-safe, and safe to raise from a signal handler.
class Cancellation {
 public:
  Cancellation() : raised_(std::make_shared<std::atomic<bool>>(false)) {}
  void Cancel() const { raised_->store(true, std::memory_order_relaxed); }
  bool cancelled() const { return raised_->load(std::memory_order_relaxed); }
  // CANCELLED once raised.
  absl::Status Check() const { return cancelled() ? absl::CancelledError("cancelled by the caller") : absl::OkStatus(); }

 private:
  std::shared_ptr<std::atomic<bool>> raised_;
};

}  // namespace cairn
