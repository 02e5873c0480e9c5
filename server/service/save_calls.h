#pragma once

#include "absl/status/status.h"
#include "cairn/v1/checkpoint_service.pb.h"
#include "server/service/rpc_scope.h"
#include "server/service/service_context.h"

namespace cairn {

// The unary calls of a save: request -> engine -> response. They block; run them on a pool.
absl::Status HandleBeginSave(ServiceContext& service, RpcScope& scope, const v1::BeginSaveRequest& request,
                             v1::BeginSaveResponse* response);
absl::Status HandleGetSaveStatus(ServiceContext& service, RpcScope& scope, const v1::GetSaveStatusRequest& request,
                                 v1::GetSaveStatusResponse* response);
absl::Status HandleFinishWriter(ServiceContext& service, RpcScope& scope, const v1::FinishWriterRequest& request,
                                v1::FinishWriterResponse* response);
absl::Status HandleCommitSave(ServiceContext& service, RpcScope& scope, const v1::CommitSaveRequest& request,
                              v1::CommitSaveResponse* response);
absl::Status HandleAbortSave(ServiceContext& service, RpcScope& scope, const v1::AbortSaveRequest& request,
                             v1::AbortSaveResponse* response);

}  // namespace cairn
