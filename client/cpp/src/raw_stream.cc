#include "client/cpp/src/raw_stream.h"

#include <utility>

#include "absl/time/time.h"
#include "proto/wire/status_wire.h"

namespace cairn::client {
namespace {

// A Cancellation is only a flag (it may be raised by a signal handler): somebody has to look at it.
constexpr absl::Duration kLookEvery = absl::Milliseconds(100);

}  // namespace

// Reads and writes are started from the owner's thread too, so a hold for each direction keeps the call from ending
// while one may still be started: it is given back where `read_ended_` or `write_ended_` becomes true.
RawStream::RawStream(RawStub* stub, const std::string& method, std::unique_ptr<grpc::ClientContext> context,
                     uint64_t max_read_ahead, CancelCheck cancelled)
    : context_(std::move(context)), max_read_ahead_(max_read_ahead), cancelled_(std::move(cancelled)) {
  stub->PrepareBidiStreamingCall(context_.get(), method, {}, this);
  AddMultipleHolds(2);
  StartRead(&incoming_);
  StartCall();
}

RawStream::~RawStream() {
  context_->TryCancel();
  bool release_write = false;
  bool start_read = false;
  {
    absl::MutexLock lock(&mu_);
    if (!writing_ && !write_ended_) release_write = write_ended_ = true;
    if (!reading_ && !read_ended_) start_read = reading_ = true;
  }
  if (release_write) RemoveHold();
  if (start_read) StartRead(&incoming_);  // Fails at once and so gives its hold back.
  absl::MutexLock lock(&mu_);
  while (!status_.has_value()) {
    mu_.Await(absl::Condition(+[](RawStream* self) ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return self->status_.has_value() || (!self->reading_ && !self->read_ended_);
    }, this));
    // A message that was under way came after all; ask again, until the cancellation arrives.
    if (!status_.has_value()) {
      reading_ = true;
      mu_.Unlock();
      StartRead(&incoming_);
      mu_.Lock();
    }
  }
}

void RawStream::Write(grpc::ByteBuffer message) {
  {
    absl::MutexLock lock(&mu_);
    if (write_ended_ || read_ended_) return;
    outbox_bytes_ += message.Length();
    outbox_.emplace_back().Swap(&message);  // A ByteBuffer has no move.
    if (writing_) return;
    writing_ = true;
  }
  StartNextWrite();
}

void RawStream::WritesDone() {
  {
    absl::MutexLock lock(&mu_);
    writes_done_ = true;
    if (writing_ || write_ended_) return;
    writing_ = true;
  }
  StartWritesDone();
}

// The owner of writing_ calls it. References into a deque survive what is added at its end.
void RawStream::StartNextWrite() {
  const grpc::ByteBuffer* next;
  {
    absl::MutexLock lock(&mu_);
    next = &outbox_.front();
  }
  StartWrite(next);
}

void RawStream::OnWriteDone(bool ok) {
  enum { kIdle, kWrite, kWritesDone, kEnd } then = kIdle;
  std::deque<grpc::ByteBuffer> dropped;  // Destroyed outside the lock: that runs the owners' destructors.
  {
    absl::MutexLock lock(&mu_);
    outbox_bytes_ -= outbox_.front().Length();
    dropped.emplace_back().Swap(&outbox_.front());
    outbox_.pop_front();
    if (!ok || read_ended_) {
      then = kEnd;
      write_ended_ = true;
      outbox_bytes_ = 0;
      dropped.insert(dropped.end(), outbox_.begin(), outbox_.end());
      outbox_.clear();
    } else if (!outbox_.empty()) {
      then = kWrite;
    } else if (writes_done_) {
      then = kWritesDone;
    } else {
      writing_ = false;
    }
  }
  dropped.clear();
  if (then == kWrite) StartNextWrite();
  if (then == kWritesDone) StartWritesDone();
  if (then == kEnd) RemoveHold();
}

void RawStream::OnWritesDoneDone(bool) {
  {
    absl::MutexLock lock(&mu_);
    write_ended_ = true;
  }
  RemoveHold();
}

void RawStream::OnReadDone(bool ok) {
  bool read_again = false;
  bool end_writes = false;
  {
    absl::MutexLock lock(&mu_);
    reading_ = false;
    if (ok) {
      inbox_bytes_ += incoming_.Length();
      inbox_.emplace_back().Swap(&incoming_);
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

void RawStream::OnDone(const grpc::Status& status) {
  absl::MutexLock lock(&mu_);
  status_ = wire::FromGrpcStatus(status);
}

uint64_t RawStream::queued_bytes() const {
  absl::MutexLock lock(&mu_);
  return outbox_bytes_;
}

void RawStream::Await(const absl::Condition& condition) {
  absl::MutexLock lock(&mu_);
  if (cancelled_ == nullptr) {
    mu_.Await(condition);
    return;
  }
  while (!mu_.AwaitWithTimeout(condition, kLookEvery)) {
    if (cancelled_()) context_->TryCancel();
  }
}

void RawStream::AwaitQueuedAtMost(uint64_t bytes) {
  const auto ready = [this, bytes]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return outbox_bytes_ <= bytes || MessageOrEnd();
  };
  Await(absl::Condition(&ready));
}

void RawStream::AwaitMessage() {
  const auto ready = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return MessageOrEnd(); };
  Await(absl::Condition(&ready));
}

std::optional<grpc::ByteBuffer> RawStream::TakeMessage() {
  std::optional<grpc::ByteBuffer> message;
  bool read_again = false;
  {
    absl::MutexLock lock(&mu_);
    if (inbox_.empty()) return std::nullopt;
    message.emplace().Swap(&inbox_.front());
    inbox_.pop_front();
    inbox_bytes_ -= message->Length();
    if (!reading_ && !read_ended_ && inbox_bytes_ < max_read_ahead_) read_again = reading_ = true;
  }
  if (read_again) StartRead(&incoming_);
  return message;
}

std::optional<absl::Status> RawStream::Ended() const {
  absl::MutexLock lock(&mu_);
  if (!inbox_.empty()) return std::nullopt;
  return status_;
}

}  // namespace cairn::client
