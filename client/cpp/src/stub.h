#pragma once

#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/options.h"
#include "cairn/v1/checkpoint_service.grpc.pb.h"
#include "client/cpp/src/raw_stream.h"
#include "grpcpp/channel.h"

namespace cairn::client {

// What one attempt of a call is given.
struct CallLimits {
  absl::Duration timeout = absl::InfiniteDuration();
  CancelCheck cancelled;
};

// One RPC per function, one attempt, no policy. Thread-safe; calls block. `limits.timeout` ends a call with
// DEADLINE_EXCEEDED, the cancellation with CANCELLED.
class Stub {
 public:
  Stub(std::shared_ptr<grpc::Channel> channel, const Options& options);

  absl::StatusOr<v1::BeginSaveResponse> BeginSave(const v1::BeginSaveRequest& request, const CallLimits& limits);
  absl::StatusOr<v1::GetSaveStatusResponse> GetSaveStatus(const v1::GetSaveStatusRequest& request,
                                                          const CallLimits& limits);
  absl::StatusOr<v1::FinishWriterResponse> FinishWriter(const v1::FinishWriterRequest& request,
                                                        const CallLimits& limits);
  absl::StatusOr<v1::CommitSaveResponse> CommitSave(const v1::CommitSaveRequest& request, const CallLimits& limits);
  absl::StatusOr<v1::AbortSaveResponse> AbortSave(const v1::AbortSaveRequest& request, const CallLimits& limits);
  absl::StatusOr<v1::Checkpoint> GetCheckpoint(const v1::GetCheckpointRequest& request, const CallLimits& limits);
  absl::StatusOr<v1::ListCheckpointsResponse> ListCheckpoints(const v1::ListCheckpointsRequest& request,
                                                              const CallLimits& limits);
  absl::StatusOr<v1::ListEntriesResponse> ListEntries(const v1::ListEntriesRequest& request,
                                                      const CallLimits& limits);
  absl::StatusOr<v1::DeleteCheckpointResponse> DeleteCheckpoint(const v1::DeleteCheckpointRequest& request,
                                                                const CallLimits& limits);
  absl::StatusOr<v1::Checkpoint> SetTag(const v1::SetTagRequest& request, const CallLimits& limits);
  absl::StatusOr<v1::DeleteTagResponse> DeleteTag(const v1::DeleteTagRequest& request, const CallLimits& limits);
  absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo(const v1::GetServerInfoRequest& request,
                                                          const CallLimits& limits);

  // The streams carry raw messages: proto/wire/frame.h for the first four, whole messages for the others, whose one
  // request is sent here.
  std::unique_ptr<RawStream> PutTensor(uint64_t max_read_ahead, CancelCheck cancelled);
  std::unique_ptr<RawStream> GetTensor(const v1::GetTensorRequest& request, uint64_t max_read_ahead,
                                       CancelCheck cancelled);
  std::unique_ptr<RawStream> Export(const v1::ExportRequest& request, uint64_t max_read_ahead, CancelCheck cancelled);
  std::unique_ptr<RawStream> Import(uint64_t max_read_ahead, CancelCheck cancelled);
  std::unique_ptr<RawStream> Convert(const v1::ConvertRequest& request, CancelCheck cancelled);
  std::unique_ptr<RawStream> Diff(const v1::DiffRequest& request, CancelCheck cancelled);
  std::unique_ptr<RawStream> Recover(const v1::RecoverRequest& request, CancelCheck cancelled);
  std::unique_ptr<RawStream> VerifyCheckpoint(const v1::VerifyCheckpointRequest& request,
                                              CancelCheck cancelled);
  std::unique_ptr<RawStream> CollectGarbage(const v1::CollectGarbageRequest& request,
                                            CancelCheck cancelled);

 private:
  // The generated class shares its name with the function that returns it.
  using AsyncStub = std::remove_pointer_t<decltype(std::declval<v1::CheckpointService::Stub&>().async())>;

  std::unique_ptr<grpc::ClientContext> NewContext() const;
  std::unique_ptr<RawStream> ServerStream(const std::string& method, const google::protobuf::MessageLite& request,
                                          uint64_t max_read_ahead, CancelCheck cancelled);
  template <typename Request, typename Response>
  absl::StatusOr<Response> Unary(void (AsyncStub::*method)(grpc::ClientContext*, const Request*, Response*,
                                                           std::function<void(grpc::Status)>),
                                 const Request& request, const CallLimits& limits);

  const std::string authorization_;
  std::shared_ptr<grpc::Channel> channel_;
  v1::CheckpointService::Stub stub_;
  RawStub raw_stub_;
};

}  // namespace cairn::client
