#include "client/cpp/src/raw_call.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "proto/wire/status_wire.h"

namespace cairn::client {
namespace {

// A Cancellation is only a flag (it may be raised by a signal handler): somebody has to look at it.
constexpr absl::Duration kLookEvery = absl::Milliseconds(100);
// Small messages that wait in a row go into the socket together, up to so many bytes.
constexpr uint64_t kSmallMessage = 64 << 10;
constexpr uint64_t kFlushAfter = 256 << 10;

}  // namespace

// Abandoned calls that gRPC is done with. They are not destroyed where they end: that is a thread of gRPC's, and the
// call may be the last to hold the channel, which waits for that thread when it goes. Whoever makes or gives up a
// stream next destroys them.
class RawCall::Finished {
 public:
  static Finished& Get() {
    static Finished* const finished = new Finished();
    return *finished;
  }
  void Add(RawCall* call) {
    absl::MutexLock lock(&mu_);
    calls_.push_back(call);
  }
  void Destroy() {
    std::vector<RawCall*> calls;
    {
      absl::MutexLock lock(&mu_);
      calls.swap(calls_);
    }
    for (RawCall* call : calls) delete call;
  }

 private:
  absl::Mutex mu_;
  std::vector<RawCall*> calls_ ABSL_GUARDED_BY(mu_);
};

RawCall* RawCall::Start(RawStub* stub, const std::string& method, std::unique_ptr<grpc::ClientContext> context,
                        uint64_t max_read_ahead, CancelCheck cancelled) {
  Finished::Get().Destroy();
  return new RawCall(stub, method, std::move(context), max_read_ahead, std::move(cancelled));
}

// Reads and writes are started from the owner's thread too, so a hold for each direction keeps the call from ending
// while one may still be started: it is given back where `read_ended_` or `write_ended_` becomes true.
RawCall::RawCall(RawStub* stub, const std::string& method, std::unique_ptr<grpc::ClientContext> context,
                 uint64_t max_read_ahead, CancelCheck cancelled)
    : context_(std::move(context)),
      max_read_ahead_(std::max<uint64_t>(1, max_read_ahead)),
      cancelled_(std::move(cancelled)) {
  stub->PrepareBidiStreamingCall(context_.get(), method, {}, this);
  AddMultipleHolds(2);
  StartRead(&incoming_);
  StartCall();
}

void RawCall::Abandon() {
  Finished::Get().Destroy();
  taken_.clear();
  context_->TryCancel();
  bool release_write = false;
  bool start_read = false;
  bool done = false;
  {
    absl::MutexLock lock(&mu_);
    abandoned_ = true;
    done = status_.has_value();
    if (!writing_ && !write_ended_) release_write = write_ended_ = true;
    if (!reading_ && !read_ended_) start_read = reading_ = true;
  }
  // Without a hold of ours gRPC may be done with the object at any moment, so the last hold goes last.
  if (release_write) RemoveHold();
  if (start_read) StartRead(&incoming_);  // Fails at once and so gives its hold back.
  if (done) delete this;
}

void RawCall::Cancel() {
  {
    absl::MutexLock lock(&mu_);
    cancelled_here_ = true;
    news_ = true;
  }
  context_->TryCancel();
}

void RawCall::Write(grpc::ByteBuffer message) {
  NextWrite next;
  {
    absl::MutexLock lock(&mu_);
    if (write_ended_ || read_ended_ || cancelled_here_) return;
    outbox_bytes_ += message.Length();
    outbox_.emplace_back().Swap(&message);  // A ByteBuffer has no move.
    if (writing_) return;
    writing_ = true;
    next = PrepareWrite();
  }
  StartWrite(next.message, next.options);
}

void RawCall::WritesDone() {
  {
    absl::MutexLock lock(&mu_);
    writes_done_ = true;
    if (writing_ || write_ended_) return;
    writing_ = true;
  }
  StartWritesDone();
}

// References into a deque survive what is added at its end.
RawCall::NextWrite RawCall::PrepareWrite() {
  NextWrite next{&outbox_.front(), {}};
  const uint64_t bytes = next.message->Length();
  unflushed_bytes_ += bytes;
  if (outbox_.size() > 1 && bytes < kSmallMessage && unflushed_bytes_ < kFlushAfter) {
    next.options.set_buffer_hint();
  } else {
    unflushed_bytes_ = 0;
  }
  return next;
}

void RawCall::OnWriteDone(bool ok) {
  enum { kIdle, kWrite, kWritesDone, kEnd } then = kIdle;
  NextWrite next;
  grpc::ByteBuffer done;  // Destroyed outside the lock, as the dropped ones: that runs the owners' destructors.
  std::optional<std::deque<grpc::ByteBuffer>> dropped;
  {
    absl::MutexLock lock(&mu_);
    outbox_bytes_ -= outbox_.front().Length();
    done.Swap(&outbox_.front());
    outbox_.pop_front();
    if (!ok || read_ended_) {
      then = kEnd;
      write_ended_ = true;
      outbox_bytes_ = 0;
      dropped.emplace().swap(outbox_);
    } else if (!outbox_.empty()) {
      then = kWrite;
      next = PrepareWrite();
    } else if (writes_done_) {
      then = kWritesDone;
    } else {
      writing_ = false;
    }
  }
  done.Clear();
  dropped.reset();
  if (then == kWrite) StartWrite(next.message, next.options);
  if (then == kWritesDone) StartWritesDone();
  if (then == kEnd) RemoveHold();
}

void RawCall::OnWritesDoneDone(bool) {
  {
    absl::MutexLock lock(&mu_);
    write_ended_ = true;
  }
  RemoveHold();
}

void RawCall::OnReadDone(bool ok) {
  bool read_again = false;
  bool end_writes = false;
  {
    absl::MutexLock lock(&mu_);
    reading_ = false;
    if (ok && abandoned_) {
      read_again = reading_ = true;  // Until the cancellation arrives.
    } else if (ok) {
      inbox_bytes_ += incoming_.Length();
      inbox_.emplace_back().Swap(&incoming_);
      news_ = true;
      read_again = reading_ = inbox_bytes_ < max_read_ahead_;
    } else {
      read_ended_ = true;
      end_writes = !writing_ && !write_ended_;
      if (end_writes) write_ended_ = true;
    }
  }
  if (read_again) StartRead(&incoming_);
  if (end_writes) RemoveHold();
  if (!ok) RemoveHold();
}

void RawCall::OnDone(const grpc::Status& status) {
  bool abandoned = false;
  {
    absl::MutexLock lock(&mu_);
    status_ = wire::FromGrpcStatus(status);
    news_ = true;
    abandoned = abandoned_;
  }
  // Otherwise the owner, who now may do so at any moment, deletes it.
  if (abandoned) Finished::Get().Add(this);
}

void RawCall::Await(const absl::Condition& condition) {
  if (!taken_.empty()) return;
  GiveBackTaken();
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      if (cancelled_ == nullptr) {
        mu_.Await(condition);
        return;
      }
      if (mu_.AwaitWithTimeout(condition, kLookEvery)) return;
    }
    // Without the lock: it may be code of the caller's that takes its time.
    if (cancelled_()) Cancel();
  }
}

void RawCall::AwaitQueuedAtMost(uint64_t bytes) {
  const auto ready = [this, bytes]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return outbox_bytes_ <= bytes || MessageOrEnd();
  };
  Await(absl::Condition(&ready));
}

void RawCall::AwaitMessage() {
  const auto ready = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return MessageOrEnd(); };
  Await(absl::Condition(&ready));
}

std::optional<grpc::ByteBuffer> RawCall::TakeMessage() {
  if (taken_.empty()) {
    if (!news_) return std::nullopt;
    GiveBackTaken();
    absl::MutexLock lock(&mu_);
    if (inbox_.empty()) return std::nullopt;
    // No more than half of what may wait, so that the rest comes in meanwhile.
    do {
      taken_bytes_ += inbox_.front().Length();
      taken_.emplace_back().Swap(&inbox_.front());
      inbox_.pop_front();
    } while (!inbox_.empty() && taken_bytes_ + inbox_.front().Length() <= max_read_ahead_ / 2);
    news_ = MessageOrEnd();
  }
  std::optional<grpc::ByteBuffer> message;
  message.emplace().Swap(&taken_.front());
  taken_.pop_front();
  return message;
}

void RawCall::GiveBackTaken() {
  if (taken_bytes_ == 0) return;
  bool read_again = false;
  {
    absl::MutexLock lock(&mu_);
    inbox_bytes_ -= std::exchange(taken_bytes_, 0);
    if (!reading_ && !read_ended_ && inbox_bytes_ < max_read_ahead_) read_again = reading_ = true;
  }
  if (read_again) StartRead(&incoming_);
}

std::optional<absl::Status> RawCall::Ended() const {
  if (!taken_.empty() || !news_) return std::nullopt;
  absl::MutexLock lock(&mu_);
  if (!inbox_.empty()) return std::nullopt;
  if (!status_.has_value() && cancelled_here_) return absl::CancelledError("cancelled by the caller");
  return status_;
}

}  // namespace cairn::client
