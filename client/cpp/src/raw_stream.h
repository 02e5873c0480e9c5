#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"

namespace cairn::client {

// Looked at several times a second while a call waits; true ends it. May be null.
using CancelCheck = std::function<bool()>;

using RawStub = grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>;

// One streaming call of raw messages, with a bounded number of bytes received ahead. gRPC's callbacks only move
// messages in and out of two queues; the owner's thread waits for them here. One thread, but for Cancel().
class RawStream final : private grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // Starts the call. `max_read_ahead`: bytes of received messages that wait to be taken; one message may exceed it.
  RawStream(RawStub* stub, const std::string& method, std::unique_ptr<grpc::ClientContext> context,
            uint64_t max_read_ahead, CancelCheck cancelled);
  // Cancels the call if it still runs, and waits for its end.
  ~RawStream() override;

  // Queues a message; never blocks. Dropped if the call has ended.
  void Write(grpc::ByteBuffer message) ABSL_LOCKS_EXCLUDED(mu_);
  // No message follows.
  void WritesDone() ABSL_LOCKS_EXCLUDED(mu_);
  // Bytes of messages that gRPC has not taken over yet.
  uint64_t queued_bytes() const ABSL_LOCKS_EXCLUDED(mu_);

  // Returns once no more than `bytes` are queued for writing, a message is there, or the call has ended.
  void AwaitQueuedAtMost(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // Returns once a message is there or the call has ended.
  void AwaitMessage() ABSL_LOCKS_EXCLUDED(mu_);

  // The next message, if one is there; messages stay takeable after the end of the call.
  std::optional<grpc::ByteBuffer> TakeMessage() ABSL_LOCKS_EXCLUDED(mu_);
  // How the call ended; nothing while it runs, or while there are messages to take.
  std::optional<absl::Status> Ended() const ABSL_LOCKS_EXCLUDED(mu_);

  void Cancel() { context_->TryCancel(); }

 private:
  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnWritesDoneDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mu_);

  void Await(const absl::Condition& condition) ABSL_LOCKS_EXCLUDED(mu_);
  void StartNextWrite() ABSL_LOCKS_EXCLUDED(mu_);
  bool MessageOrEnd() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !inbox_.empty() || status_.has_value(); }

  const std::unique_ptr<grpc::ClientContext> context_;
  const uint64_t max_read_ahead_;
  const CancelCheck cancelled_;

  mutable absl::Mutex mu_;
  std::deque<grpc::ByteBuffer> inbox_ ABSL_GUARDED_BY(mu_);
  uint64_t inbox_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool reading_ ABSL_GUARDED_BY(mu_) = true;     // A read is under way.
  bool read_ended_ ABSL_GUARDED_BY(mu_) = false;  // None will follow.
  grpc::ByteBuffer incoming_;                     // Of the read under way.

  std::deque<grpc::ByteBuffer> outbox_ ABSL_GUARDED_BY(mu_);  // The front one is being written if writing_.
  uint64_t outbox_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool writes_done_ ABSL_GUARDED_BY(mu_) = false;  // Asked for.
  bool write_ended_ ABSL_GUARDED_BY(mu_) = false;  // No write will be started any more.

  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cairn::client
