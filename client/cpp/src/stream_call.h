#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "cairn/options.h"
#include "client/cpp/src/raw_stream.h"
#include "client/cpp/src/retry.h"

namespace cairn::client {

// What a PutStream and a GetStream have in common: one call at a time, which its owner begins again after it broke;
// the caller's ways to cancel it; and the error that everything returns once there is one. One thread at a time, but
// for Cancel().
class StreamCall {
 public:
  // `name` is what errors are about: a ref.
  StreamCall(const Options& options, const std::string& target, std::string name);

  const Options& options() const { return options_; }

  // The error that ended the stream; the caller's cancellation becomes one here.
  absl::Status Check();
  // An error ends the stream for good and comes back with the name; OK stays OK.
  absl::Status Sticky(const absl::Status& status);
  // No call may follow: `why` is what it would return.
  void Close(absl::Status why) { status_ = std::move(why); }

  void Cancel() ABSL_LOCKS_EXCLUDED(mu_);
  // Asks Options::interrupted too, so in the owner's thread only.
  bool cancelled() const;
  // For calls, which Cancel() ends by itself: whether the caller has given up in one of the other ways. May be null.
  const CancelCheck& cancel_check() const { return given_up_; }

  // The call that is open now.
  RawStream& raw() ABSL_NO_THREAD_SAFETY_ANALYSIS { return *raw_; }
  // Puts `fresh` in its place; the one before is cancelled.
  void Replace(std::unique_ptr<RawStream> fresh) ABSL_LOCKS_EXCLUDED(mu_);

  // After the call ended with that error: waits and returns OK if it shall be made again, else the error to give up
  // with.
  absl::Status AwaitRetry(const absl::Status& end) { return retry_.Pause(ResumeIfIdle(end)); }
  // Something worked: the time allowed for retries begins anew.
  void Succeeded() { retry_.Succeeded(); }

 private:
  const Options options_;
  const std::string name_;
  const Cancellation cancellation_;
  const CancelCheck given_up_;  // By the options.
  Retry retry_;
  absl::Status status_;

  // Guards the pointer against Cancel(); only the owner's thread replaces it.
  absl::Mutex mu_;
  std::unique_ptr<RawStream> raw_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cairn::client
