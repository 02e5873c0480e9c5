#pragma once

#include <functional>
#include <string>
#include <utility>

#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cairn/options.h"

namespace cairn::client {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// `status` with the ref, session or name it is about. Where nobody was reached, or the caller gave up, it does not
// matter.
absl::Status Named(const absl::Status& status, absl::string_view what);

// The end of a stream, with DEADLINE_EXCEEDED as UNAVAILABLE: our streams have no deadline, so it is somebody between
// us and the daemon who ended one on which nothing moved for long.
absl::Status ResumeIfIdle(const absl::Status& end);

// Asked after each failure, before it is tried again: an error is a cause that trying again does not take away.
using FindCause = std::function<absl::Status(const absl::Status& failure)>;

// Whether TLS is why nobody was reached (tls_probe.h). `options` and `cancelled` are copied.
FindCause FindTlsCause(const Options& options, const std::string& target, std::function<bool()> cancelled);

// Whether the caller has given up, by Options::cancellation or Options::interrupted; null if neither is there.
std::function<bool()> CancelCheckOf(const Options& options);

// Decides how often something is tried again, and pauses in between. UNAVAILABLE means "try again", and nothing else
// does, except for CANCELLED that did not begin here. One thread at a time.
class Retry {
 public:
  // `cancelled` is looked at while pausing; may be null, as may `find_cause`. `options` outlives this object.
  Retry(const Options& options, std::string target, std::function<bool()> cancelled, FindCause find_cause = nullptr);

  // Something worked: the time allowed begins anew.
  void Succeeded();

  // After a failure: pauses and returns OK if it shall be tried again, else the error to give up with: `failure` if
  // it is not UNAVAILABLE, the cause if one was found, "cannot reach cairnd at TARGET" if the time is over, CANCELLED.
  absl::Status Pause(const absl::Status& failure);

  // Calls `attempt(repeated)`, a Status or StatusOr, until it succeeds or Pause gives up.
  template <typename F>
  auto Run(F attempt) -> decltype(attempt(false)) {
    for (bool repeated = false;; repeated = true) {
      auto result = attempt(repeated);
      if (result.ok()) return result;
      if (absl::Status status = Pause(StatusOf(result)); !status.ok()) return status;
    }
  }

 private:
  const Options& options_;
  const std::string target_;
  const std::function<bool()> cancelled_;
  const FindCause find_cause_;
  absl::Time since_;  // The first failure after the last success.
  absl::Duration backoff_;
  int attempts_ = 1;
  absl::BitGen random_;
};

}  // namespace cairn::client
