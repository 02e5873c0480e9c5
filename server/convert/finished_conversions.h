#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/base/digest.h"
#include "server/convert/convert_job.h"

namespace cairn {

// Conversions into files that came to their end a short while ago, for callers who ask again because the answer was lost. It
// is forgotten with the process, and when others have taken its place.
// Thread-safe.
class FinishedConversions {
 public:
  static constexpr size_t kMost = 64;
  // Of all answers together, roughly; a larger one is not kept at all. Most have a few hundred.
  static constexpr uint64_t kMostBytes = 4u << 20;

  // `what`: all that was asked for, the session key included; `state`: of what was written (FileIdentity).
  void Add(absl::string_view what, absl::string_view state, ConvertResult result) ABSL_LOCKS_EXCLUDED(mu_);
  // Nothing, unless that is what is there still.
  std::optional<ConvertResult> Find(absl::string_view what, absl::string_view state) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Finished {
    Digest what;
    Digest state;
    ConvertResult result;
    uint64_t bytes = 0;
  };

  mutable absl::Mutex mu_;
  std::deque<Finished> finished_ ABSL_GUARDED_BY(mu_);  // The latest first.
  uint64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace cairn
