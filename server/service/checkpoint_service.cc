#include "server/service/checkpoint_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cairn/v1/checkpoint_service.grpc.pb.h"
#include "common/base/status_macros.h"
#include "proto/wire/proto_convert.h"
#include "server/service/convert_call.h"
#include "server/service/diff_call.h"
#include "server/service/export_reactor.h"
#include "server/service/get_tensor_reactor.h"
#include "server/service/import_reactor.h"
#include "server/service/progress_reactor.h"
#include "server/service/put_tensor_reactor.h"
#include "server/service/registry_calls.h"
#include "server/service/row_convert.h"
#include "server/service/save_calls.h"
#include "server/service/unary_call.h"

namespace cairn {
namespace {

using V1 = v1::CheckpointService;

// What carries payload takes raw buffers, so that it is never copied into a protobuf string.
using RawStreams = V1::WithRawCallbackMethod_PutTensor<V1::WithRawCallbackMethod_GetTensor<
    V1::WithRawCallbackMethod_Export<V1::WithRawCallbackMethod_Import<V1::Service>>>>;
using Saving = V1::WithCallbackMethod_BeginSave<V1::WithCallbackMethod_GetSaveStatus<V1::WithCallbackMethod_FinishWriter<
    V1::WithCallbackMethod_CommitSave<V1::WithCallbackMethod_AbortSave<RawStreams>>>>>;
using Registering = V1::WithCallbackMethod_GetCheckpoint<
    V1::WithCallbackMethod_ListCheckpoints<V1::WithCallbackMethod_ListEntries<V1::WithCallbackMethod_DeleteCheckpoint<
        V1::WithCallbackMethod_SetTag<V1::WithCallbackMethod_DeleteTag<Saving>>>>>>;
using Base = V1::WithCallbackMethod_Convert<V1::WithCallbackMethod_Diff<V1::WithCallbackMethod_Recover<
    V1::WithCallbackMethod_VerifyCheckpoint<V1::WithCallbackMethod_CollectGarbage<V1::WithCallbackMethod_GetServerInfo<Registering>>>>>>;

// A unary method: the name appears once, in code and log alike.
#define CAIRN_UNARY(method, Request, Response)                                                             \
  grpc::ServerUnaryReactor* method(grpc::CallbackServerContext* context, const v1::Request* request,       \
                                   v1::Response* response) override {                                      \
    return RunUnary(#method, context, service_, [this, request, response](RpcScope& scope) {               \
      return Handle##method(service_, scope, *request, response);                                          \
    });                                                                                                    \
  }

class CheckpointServiceImpl final : public Base {
 public:
  explicit CheckpointServiceImpl(ServiceContext& service) : service_(service) {}

  CAIRN_UNARY(BeginSave, BeginSaveRequest, BeginSaveResponse)
  CAIRN_UNARY(GetSaveStatus, GetSaveStatusRequest, GetSaveStatusResponse)
  CAIRN_UNARY(FinishWriter, FinishWriterRequest, FinishWriterResponse)
  CAIRN_UNARY(CommitSave, CommitSaveRequest, CommitSaveResponse)
  CAIRN_UNARY(AbortSave, AbortSaveRequest, AbortSaveResponse)
  CAIRN_UNARY(GetCheckpoint, GetCheckpointRequest, Checkpoint)
  CAIRN_UNARY(ListCheckpoints, ListCheckpointsRequest, ListCheckpointsResponse)
  CAIRN_UNARY(ListEntries, ListEntriesRequest, ListEntriesResponse)
  CAIRN_UNARY(DeleteCheckpoint, DeleteCheckpointRequest, DeleteCheckpointResponse)
  CAIRN_UNARY(SetTag, SetTagRequest, Checkpoint)
  CAIRN_UNARY(DeleteTag, DeleteTagRequest, DeleteTagResponse)
  CAIRN_UNARY(GetServerInfo, GetServerInfoRequest, GetServerInfoResponse)

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PutTensor(grpc::CallbackServerContext* context) override {
    return StartPutTensor(context, service_);
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* GetTensor(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request) override {
    return StartGetTensor(context, request, service_);
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Export(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) override {
    return StartExport(context, request, service_);
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Import(grpc::CallbackServerContext* context) override {
    return StartImport(context, service_);
  }

  grpc::ServerWriteReactor<v1::ConvertResponse>* Convert(grpc::CallbackServerContext* context,
                                                         const v1::ConvertRequest* request) override {
    return StartConvert(context, *request, service_);
  }

  grpc::ServerWriteReactor<v1::DiffResponse>* Diff(grpc::CallbackServerContext* context, const v1::DiffRequest* request) override {
    return StartDiff(context, *request, service_);
  }

  grpc::ServerWriteReactor<v1::RecoverResponse>* Recover(grpc::CallbackServerContext* context,
                                                         const v1::RecoverRequest* request) override {
    return StartRecover(context, *request, service_);
  }

  grpc::ServerWriteReactor<v1::VerifyCheckpointResponse>* VerifyCheckpoint(
      grpc::CallbackServerContext* context, const v1::VerifyCheckpointRequest* request) override {
    using Reactor = ProgressReactor<v1::VerifyCheckpointResponse>;
    auto work = [this, ref_text = request->ref()](RpcScope& scope, const Cancellation& cancellation,
                                                  const Reactor::Report& report) -> absl::Status {
      scope.set_ref(ref_text);
      CAIRN_ASSIGN_OR_RETURN(const Ref ref, Ref::Parse(ref_text));
      CheckpointRow checked;
      VerifyReport last;
      CAIRN_RETURN_IF_ERROR(service_.engine.Verify(
          ref, cancellation, [&](const CheckpointRow& row, const VerifyReport& progress) {
            report(ToResponse(row, progress));
            checked = row;
            last = progress;
          }));
      scope.add_bytes(last.bytes_done);
      last.problems.clear();
      v1::VerifyCheckpointResponse done = ToResponse(checked, last);
      done.set_done(true);
      report(std::move(done));
      return absl::OkStatus();
    };
    // Problems of a report that was never sent belong to the next one.
    auto merge = [](v1::VerifyCheckpointResponse& newer, const v1::VerifyCheckpointResponse& older) {
      google::protobuf::RepeatedPtrField<v1::VerifyCheckpointResponse::Problem> problems = older.problems();
      problems.MergeFrom(newer.problems());
      *newer.mutable_problems() = std::move(problems);
    };
    return Reactor::Start("VerifyCheckpoint", context, service_, std::move(work), std::move(merge));
  }

  grpc::ServerWriteReactor<v1::CollectGarbageResponse>* CollectGarbage(
      grpc::CallbackServerContext* context, const v1::CollectGarbageRequest* request) override {
    using Reactor = ProgressReactor<v1::CollectGarbageResponse>;
    auto work = [this, dry_run = request->dry_run()](RpcScope& scope, const Cancellation& cancellation,
                                                     const Reactor::Report& report) -> absl::Status {
      CAIRN_ASSIGN_OR_RETURN(const GarbageReport total,
                             service_.engine.CollectGarbage(dry_run, cancellation, [&](const GarbageReport& progress) {
                               report(ToResponse(progress));
                             }));
      scope.add_bytes(total.deleted_bytes);
      v1::CollectGarbageResponse done = ToResponse(total);
      done.set_done(true);
      report(std::move(done));
      return absl::OkStatus();
    };
    auto merge = [](v1::CollectGarbageResponse&, const v1::CollectGarbageResponse&) {};
    return Reactor::Start("CollectGarbage", context, service_, std::move(work), std::move(merge));
  }

 private:
  static v1::VerifyCheckpointResponse ToResponse(const CheckpointRow& row, const VerifyReport& progress) {
    v1::VerifyCheckpointResponse response;
    ToProto(row, response.mutable_checkpoint());
    response.set_bytes_done(progress.bytes_done);
    response.set_bytes_total(progress.bytes_total);
    for (const VerifyReport::Problem& problem : progress.problems) {
      v1::VerifyCheckpointResponse::Problem* out = response.add_problems();
      out->set_path(problem.path);
      wire::ToProto(problem.box, out->mutable_box());
      out->set_object(problem.object);
      out->set_message(problem.message);
    }
    return response;
  }

  static v1::CollectGarbageResponse ToResponse(const GarbageReport& progress) {
    v1::CollectGarbageResponse response;
    response.set_purged_checkpoints(progress.purged_checkpoints);
    response.set_expired_sessions(progress.expired_sessions);
    response.set_deleted_objects(progress.deleted_objects);
    response.set_deleted_bytes(progress.deleted_bytes);
    return response;
  }

  ServiceContext& service_;
};

#undef CAIRN_UNARY

}  // namespace

std::unique_ptr<grpc::Service> MakeCheckpointService(ServiceContext& context) {
  return std::make_unique<CheckpointServiceImpl>(context);
}

}  // namespace cairn
