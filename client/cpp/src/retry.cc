#include "client/cpp/src/retry.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/src/target.h"
#include "client/cpp/src/tls_probe.h"
#include "common/base/annotate.h"
#include "common/base/error_info.h"

namespace cairn::client {
namespace {

// Sleeping in short pieces, so that a cancellation is noticed.
constexpr absl::Duration kNap = absl::Milliseconds(100);

bool IsTlsError(const absl::Status& status) { return absl::StartsWith(GetErrorInfo(status).reason, "TLS_"); }

}  // namespace

absl::Status Named(const absl::Status& status, absl::string_view what) {
  if (what.empty() || IsTlsError(status) || absl::IsUnavailable(status) || absl::IsCancelled(status)) return status;
  return Annotate(status, what);
}

absl::Status ResumeIfIdle(const absl::Status& end) {
  return absl::IsDeadlineExceeded(end) ? absl::UnavailableError(end.message()) : end;
}

FindCause FindTlsCause(const Options& options, const std::string& target, std::function<bool()> cancelled) {
  if (IsUnixTarget(target)) return nullptr;
  return [options, target, cancelled = std::move(cancelled)](const absl::Status& failure) {
    // Looking the name up once more would only take its time again.
    if (absl::StrContains(failure.message(), "DNS resolution failed")) return absl::OkStatus();
    return ProbeTls(target, options, cancelled);
  };
}

std::function<bool()> CancelCheckOf(const Options& options) {
  if (!options.cancellation.has_value()) return options.interrupted;
  if (options.interrupted == nullptr) return [flag = *options.cancellation] { return flag.cancelled(); };
  return [flag = *options.cancellation, interrupted = options.interrupted] { return flag.cancelled() || interrupted(); };
}

Retry::Retry(const Options& options, std::string target, std::function<bool()> cancelled, FindCause find_cause)
    : options_(options),
      target_(std::move(target)),
      cancelled_(cancelled != nullptr ? std::move(cancelled) : [] { return false; }),
      find_cause_(std::move(find_cause)),
      backoff_(options.initial_backoff) {}

void Retry::Succeeded() {
  backoff_ = options_.initial_backoff;
  attempts_ = 1;
}

absl::Status Retry::Pause(const absl::Status& failure) {
  if (cancelled_()) return absl::CancelledError("cancelled by the caller");
  // A call that was cancelled, but not here, met a daemon that stops without waiting for it.
  if (!absl::IsUnavailable(failure) && !absl::IsCancelled(failure)) return failure;
  if (attempts_ == 1) since_ = options_.clock->Now();
  if (find_cause_ != nullptr) {
    if (absl::Status cause = find_cause_(failure); !cause.ok()) return cause;
  }
  // Between half of it and all, so that the clients of a daemon that restarts do not come all at once.
  const absl::Duration pause = backoff_ * absl::Uniform(random_, 0.5, 1.0);
  const absl::Time wake = options_.clock->Now() + pause;
  if (wake > since_ + options_.retry_for) {
    const std::string tried =
        attempts_ == 1 ? ""
                       : absl::StrCat(" (tried ", attempts_, " times in ",
                                      absl::FormatDuration(absl::Trunc(options_.clock->Now() - since_, absl::Seconds(1))),
                                      ")");
    return WithErrorInfo(
        absl::UnavailableError(absl::StrCat("cannot reach cairnd at ", target_, ": ", failure.message(), tried)),
        GetErrorInfo(failure));
  }
  for (absl::Duration left = pause; left > absl::ZeroDuration(); left = wake - options_.clock->Now()) {
    if (cancelled_()) return absl::CancelledError("cancelled by the caller");
    options_.clock->Sleep(std::min(left, kNap));
  }
  backoff_ = std::min(backoff_ * 2, options_.max_backoff);
  ++attempts_;
  return absl::OkStatus();
}

}  // namespace cairn::client
