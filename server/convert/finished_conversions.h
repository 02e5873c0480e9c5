#pragma once

#include <deque>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/convert/convert_job.h"

namespace cairn {

// Conversions into files that came to their end a short while ago, for callers who ask again because the answer was lost.
// Thread-safe.
class FinishedConversions {
 public:
  static constexpr size_t kMost = 64;

  // `what`: all that was asked for, the session key included; `state`: of what was written (FileIdentity).
  void Add(std::string what, std::string state, ConvertResult result) ABSL_LOCKS_EXCLUDED(mu_);
  // Nothing, unless that is what is there still.
  std::optional<ConvertResult> Find(const std::string& what, const std::string& state) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Finished {
    std::string what;
    std::string state;
    ConvertResult result;
  };

  mutable absl::Mutex mu_;
  std::deque<Finished> finished_ ABSL_GUARDED_BY(mu_);  // The latest first.
};

}  // namespace cairn
