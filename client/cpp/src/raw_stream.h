#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"

namespace cairn::client {

// Looked at several times a second while a call waits; true ends it. May be null.
using CancelCheck = std::function<bool()>;

using RawStub = grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>;

class RawCall;

// One streaming call of raw messages, with a bounded number of bytes received ahead. gRPC's callbacks only move
// messages in and out of two queues; the owner's thread waits for them here. One thread, but for Cancel().
//
// Nobody waits for gRPC to agree that a cancelled call is over: while a connection is stuck it does not, until
// keepalive gives the connection up. Messages under way may be held for so long, also after this object is gone.
class RawStream final {
 public:
  // Starts the call. `max_read_ahead`: bytes of received messages that wait to be taken; one message may exceed it.
  RawStream(RawStub* stub, const std::string& method, std::unique_ptr<grpc::ClientContext> context,
            uint64_t max_read_ahead, CancelCheck cancelled);
  // Cancels the call if it still runs.
  ~RawStream();
  RawStream(const RawStream&) = delete;
  RawStream& operator=(const RawStream&) = delete;

  // Queues a message; never blocks. Dropped if the call has ended.
  void Write(grpc::ByteBuffer message);
  // No message follows.
  void WritesDone();
  // Bytes of messages that gRPC has not taken over yet.
  uint64_t queued_bytes() const;

  // Returns once no more than `bytes` are queued for writing, a message is there, or the call has ended.
  void AwaitQueuedAtMost(uint64_t bytes);
  // Returns once a message is there or the call has ended.
  void AwaitMessage();

  // The next message, if one is there; messages stay takeable after the end of the call.
  std::optional<grpc::ByteBuffer> TakeMessage();
  // How the call ended; nothing while it runs, or while there are messages to take. CANCELLED at once after Cancel().
  std::optional<absl::Status> Ended() const;

  void Cancel();

 private:
  RawCall* const call_;
};

}  // namespace cairn::client
