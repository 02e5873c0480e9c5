#include "client/cpp/src/stub.h"

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "client/cpp/src/check_text.h"
#include "common/base/status_macros.h"
#include "proto/wire/frame.h"
#include "proto/wire/status_wire.h"

namespace cairn::client {
namespace {

constexpr char kService[] = "/cairn.v1.CheckpointService/";
constexpr absl::Duration kLookEvery = absl::Milliseconds(100);
constexpr uint64_t kProgressReadAhead = 1 << 20;

// How long a cancelled call may take to end. On a connection that is stuck it ends when keepalive gives the connection
// up, which nobody who has cancelled wants to wait for.
constexpr absl::Duration kEndWithin = absl::Seconds(1);

// Calls that were not waited for, as many as somebody lost patience. gRPC's own thread must not be the one to destroy
// them: they may be the last to hold a channel, which waits for that thread when it goes.
void KeepForEver(std::shared_ptr<void> call) {
  struct Kept {
    absl::Mutex mu;
    std::vector<std::shared_ptr<void>> calls ABSL_GUARDED_BY(mu);
  };
  static Kept* const kept = new Kept();
  absl::MutexLock lock(&kept->mu);
  kept->calls.push_back(std::move(call));
}

}  // namespace

Stub::Stub(std::shared_ptr<grpc::Channel> channel, const Options& options)
    : authorization_(options.bearer_token.empty() ? "" : absl::StrCat("Bearer ", options.bearer_token)),
      channel_(std::move(channel)),
      stub_(channel_),
      raw_stub_(channel_) {}

std::unique_ptr<grpc::ClientContext> Stub::NewContext() const {
  auto context = std::make_unique<grpc::ClientContext>();
  if (!authorization_.empty()) context->AddMetadata("authorization", authorization_);
  return context;
}

template <typename Request, typename Response>
absl::StatusOr<Response> Stub::Unary(void (AsyncStub::*method)(grpc::ClientContext*, const Request*, Response*,
                                                               std::function<void(grpc::Status)>),
                                     const Request& request, const CallLimits& limits) {
  CAIRN_RETURN_IF_ERROR(CheckText(request));
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    Request request;
    Response response;
    grpc::Status status;
    absl::Notification done;
  };
  const auto call = std::make_shared<Call>();
  call->context = NewContext();
  call->request = request;
  if (limits.timeout < absl::InfiniteDuration()) {
    call->context->set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(limits.timeout));
  }
  // No owner, since it goes in gRPC's thread: see KeepForEver.
  (stub_.async()->*method)(call->context.get(), &call->request, &call->response, [call = call.get()](grpc::Status result) {
    call->status = std::move(result);
    call->done.Notify();
  });
  while (!call->done.WaitForNotificationWithTimeout(limits.cancelled == nullptr ? absl::InfiniteDuration()
                                                                                : kLookEvery)) {
    if (!limits.cancelled()) continue;
    call->context->TryCancel();
    if (call->done.WaitForNotificationWithTimeout(kEndWithin)) break;
    KeepForEver(call);
    return absl::CancelledError("cancelled by the caller");
  }
  if (!call->status.ok()) return wire::FromGrpcStatus(call->status);
  return std::move(call->response);
}

#define CAIRN_UNARY(Method)                                                                           \
  absl::StatusOr<v1::Method##Response> Stub::Method(const v1::Method##Request& request,               \
                                                    const CallLimits& limits) {                       \
    return Unary<v1::Method##Request, v1::Method##Response>(&AsyncStub::Method, request, limits); \
  }
CAIRN_UNARY(BeginSave)
CAIRN_UNARY(GetSaveStatus)
CAIRN_UNARY(FinishWriter)
CAIRN_UNARY(CommitSave)
CAIRN_UNARY(AbortSave)
CAIRN_UNARY(ListCheckpoints)
CAIRN_UNARY(ListEntries)
CAIRN_UNARY(DeleteCheckpoint)
CAIRN_UNARY(DeleteTag)
CAIRN_UNARY(GetServerInfo)
#undef CAIRN_UNARY

absl::StatusOr<v1::Checkpoint> Stub::GetCheckpoint(const v1::GetCheckpointRequest& request,
                                                   const CallLimits& limits) {
  return Unary<v1::GetCheckpointRequest, v1::Checkpoint>(&AsyncStub::GetCheckpoint, request,
                                                         limits);
}

absl::StatusOr<v1::Checkpoint> Stub::SetTag(const v1::SetTagRequest& request, const CallLimits& limits) {
  return Unary<v1::SetTagRequest, v1::Checkpoint>(&AsyncStub::SetTag, request, limits);
}

std::unique_ptr<RawStream> Stub::PutTensor(uint64_t max_read_ahead, CancelCheck cancelled) {
  return std::make_unique<RawStream>(&raw_stub_, absl::StrCat(kService, "PutTensor"), NewContext(), max_read_ahead,
                                     std::move(cancelled));
}

// A server stream is, on the wire, a two-way stream whose client says one thing.
std::unique_ptr<RawStream> Stub::ServerStream(const std::string& method, const google::protobuf::MessageLite& request,
                                              uint64_t max_read_ahead, CancelCheck cancelled) {
  auto stream = std::make_unique<RawStream>(&raw_stub_, absl::StrCat(kService, method), NewContext(), max_read_ahead,
                                            std::move(cancelled));
  stream->Write(wire::MakeFrame(request, {}));
  stream->WritesDone();
  return stream;
}

std::unique_ptr<RawStream> Stub::GetTensor(const v1::GetTensorRequest& request, uint64_t max_read_ahead,
                                           CancelCheck cancelled) {
  return ServerStream("GetTensor", request, max_read_ahead, std::move(cancelled));
}

std::unique_ptr<RawStream> Stub::Export(const v1::ExportRequest& request, uint64_t max_read_ahead, CancelCheck cancelled) {
  return ServerStream("Export", request, max_read_ahead, std::move(cancelled));
}

std::unique_ptr<RawStream> Stub::Import(uint64_t max_read_ahead, CancelCheck cancelled) {
  return std::make_unique<RawStream>(&raw_stub_, absl::StrCat(kService, "Import"), NewContext(), max_read_ahead,
                                     std::move(cancelled));
}

std::unique_ptr<RawStream> Stub::Convert(const v1::ConvertRequest& request, CancelCheck cancelled) {
  return ServerStream("Convert", request, kProgressReadAhead, std::move(cancelled));
}

std::unique_ptr<RawStream> Stub::Diff(const v1::DiffRequest& request, CancelCheck cancelled) {
  return ServerStream("Diff", request, kProgressReadAhead, std::move(cancelled));
}

std::unique_ptr<RawStream> Stub::Recover(const v1::RecoverRequest& request, CancelCheck cancelled) {
  return ServerStream("Recover", request, kProgressReadAhead, std::move(cancelled));
}

std::unique_ptr<RawStream> Stub::VerifyCheckpoint(const v1::VerifyCheckpointRequest& request,
                                                  CancelCheck cancelled) {
  return ServerStream("VerifyCheckpoint", request, kProgressReadAhead, std::move(cancelled));
}

std::unique_ptr<RawStream> Stub::CollectGarbage(const v1::CollectGarbageRequest& request,
                                                CancelCheck cancelled) {
  return ServerStream("CollectGarbage", request, kProgressReadAhead, std::move(cancelled));
}

}  // namespace cairn::client
