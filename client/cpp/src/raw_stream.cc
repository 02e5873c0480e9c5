#include "client/cpp/src/raw_stream.h"

#include <utility>

#include "client/cpp/src/raw_call.h"

namespace cairn::client {

RawStream::RawStream(RawStub* stub, const std::string& method, std::unique_ptr<grpc::ClientContext> context,
                     uint64_t max_read_ahead, CancelCheck cancelled)
    : call_(RawCall::Start(stub, method, std::move(context), max_read_ahead, std::move(cancelled))) {}

RawStream::~RawStream() { call_->Abandon(); }

void RawStream::Write(grpc::ByteBuffer message) { call_->Write(std::move(message)); }
void RawStream::WritesDone() { call_->WritesDone(); }
uint64_t RawStream::queued_bytes() const { return call_->queued_bytes(); }
void RawStream::AwaitQueuedAtMost(uint64_t bytes) { call_->AwaitQueuedAtMost(bytes); }
void RawStream::AwaitMessage() { call_->AwaitMessage(); }
std::optional<grpc::ByteBuffer> RawStream::TakeMessage() { return call_->TakeMessage(); }
std::optional<absl::Status> RawStream::Ended() const { return call_->Ended(); }
void RawStream::Cancel() { call_->Cancel(); }

}  // namespace cairn::client
