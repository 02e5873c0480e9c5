#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/src/raw_stream.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"

namespace cairn::client {

// What gRPC sees of a RawStream, which owns it until it abandons it: from then on it lives until gRPC is done with it.
class RawCall final : private grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  static RawCall* Start(RawStub* stub, const std::string& method, std::unique_ptr<grpc::ClientContext> context,
                        uint64_t max_read_ahead, CancelCheck cancelled);
  // Cancels the call and gives this object up.
  void Abandon() ABSL_LOCKS_EXCLUDED(mu_);

  // As those of RawStream.
  void Write(grpc::ByteBuffer message) ABSL_LOCKS_EXCLUDED(mu_);
  void WritesDone() ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t queued_bytes() const { return outbox_bytes_.load(std::memory_order_relaxed); }
  void AwaitQueuedAtMost(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);
  void AwaitMessage() ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<grpc::ByteBuffer> TakeMessage() ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<absl::Status> Ended() const ABSL_LOCKS_EXCLUDED(mu_);
  void Cancel() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Finished;

  RawCall(RawStub* stub, const std::string& method, std::unique_ptr<grpc::ClientContext> context,
          uint64_t max_read_ahead, CancelCheck cancelled);
  ~RawCall() override = default;

  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnWritesDoneDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_);
  void OnDone(const grpc::Status& status) override ABSL_LOCKS_EXCLUDED(mu_);

  // Returns at once if a message was taken already.
  void Await(const absl::Condition& condition) ABSL_LOCKS_EXCLUDED(mu_);
  // What was taken has been given out: there is room for more.
  void GiveBackTaken() ABSL_LOCKS_EXCLUDED(mu_);
  // The message to write next, by whoever has set writing_.
  struct NextWrite {
    const grpc::ByteBuffer* message;
    grpc::WriteOptions options;
  };
  NextWrite PrepareWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool MessageOrEnd() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return !inbox_.empty() || status_.has_value() || cancelled_here_;
  }

  const std::unique_ptr<grpc::ClientContext> context_;
  const uint64_t max_read_ahead_;
  const CancelCheck cancelled_;

  // Of the owner's thread: taken out of the inbox, several at once, so that small messages do not cost a lock each.
  std::deque<grpc::ByteBuffer> taken_;
  uint64_t taken_bytes_ = 0;  // Of all that were taken at once: they count as waiting until the last one is given out.

  mutable absl::Mutex mu_;
  // There may be a message or the end to see: without it there is no need for the lock.
  std::atomic<bool> news_ = false;
  std::deque<grpc::ByteBuffer> inbox_ ABSL_GUARDED_BY(mu_);
  uint64_t inbox_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool reading_ ABSL_GUARDED_BY(mu_) = true;     // A read is under way.
  bool read_ended_ ABSL_GUARDED_BY(mu_) = false;  // None will follow.
  grpc::ByteBuffer incoming_;                     // Of the read under way.

  std::deque<grpc::ByteBuffer> outbox_ ABSL_GUARDED_BY(mu_);  // The front one is being written if writing_.
  std::atomic<uint64_t> outbox_bytes_ = 0;             // Changed under mu_.
  uint64_t unflushed_bytes_ ABSL_GUARDED_BY(mu_) = 0;  // Given to gRPC with the word that more follows.
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool writes_done_ ABSL_GUARDED_BY(mu_) = false;  // Asked for.
  bool write_ended_ ABSL_GUARDED_BY(mu_) = false;  // No write will be started any more.

  bool cancelled_here_ ABSL_GUARDED_BY(mu_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace cairn::client
