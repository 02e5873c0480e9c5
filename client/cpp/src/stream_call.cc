#include "client/cpp/src/stream_call.h"

#include <utility>

namespace cairn::client {

StreamCall::StreamCall(const Options& options, const std::string& target, std::string name)
    : options_(options),
      name_(std::move(name)),
      given_up_(CancelCheckOf(options)),
      retry_(options_, target, [this] { return cancelled(); },
             FindTlsCause(options_, target, [this] { return cancelled(); })) {}

absl::Status StreamCall::Check() {
  if (status_.ok() && cancelled()) status_ = absl::CancelledError("cancelled by the caller");
  return status_;
}

absl::Status StreamCall::Sticky(const absl::Status& status) {
  if (!status.ok() && Check().ok()) status_ = Named(status, name_);
  return status_;
}

void StreamCall::Cancel() {
  cancellation_.Cancel();
  absl::MutexLock lock(&mu_);
  if (raw_ != nullptr) raw_->Cancel();
}

bool StreamCall::cancelled() const { return cancellation_.cancelled() || (given_up_ != nullptr && given_up_()); }

void StreamCall::Replace(std::unique_ptr<RawStream> fresh) {
  {
    absl::MutexLock lock(&mu_);
    raw_.swap(fresh);
    if (cancellation_.cancelled()) raw_->Cancel();
  }
  // The old one waits for the end of its call: not under the lock.
  fresh.reset();
}

}  // namespace cairn::client
