#pragma once

#include "absl/status/status.h"
#include "cairn/v1/checkpoint_service.pb.h"
#include "server/service/rpc_scope.h"
#include "server/service/service_context.h"

namespace cairn {

// The unary calls about committed checkpoints: request -> engine -> response. They block; run them on a pool.
absl::Status HandleGetCheckpoint(ServiceContext& service, RpcScope& scope, const v1::GetCheckpointRequest& request,
                                 v1::Checkpoint* response);
absl::Status HandleListCheckpoints(ServiceContext& service, RpcScope& scope, const v1::ListCheckpointsRequest& request,
                                   v1::ListCheckpointsResponse* response);
absl::Status HandleListEntries(ServiceContext& service, RpcScope& scope, const v1::ListEntriesRequest& request,
                               v1::ListEntriesResponse* response);
absl::Status HandleDeleteCheckpoint(ServiceContext& service, RpcScope& scope, const v1::DeleteCheckpointRequest& request,
                                    v1::DeleteCheckpointResponse* response);
absl::Status HandleSetTag(ServiceContext& service, RpcScope& scope, const v1::SetTagRequest& request,
                          v1::Checkpoint* response);
absl::Status HandleDeleteTag(ServiceContext& service, RpcScope& scope, const v1::DeleteTagRequest& request,
                             v1::DeleteTagResponse* response);
absl::Status HandleGetServerInfo(ServiceContext& service, RpcScope& scope, const v1::GetServerInfoRequest& request,
                                 v1::GetServerInfoResponse* response);

}  // namespace cairn
