#pragma once

#include "cairn/v1/checkpoint_service.pb.h"
#include "grpcpp/support/server_callback.h"
#include "server/service/service_context.h"

namespace cairn {

// Diff and Recover: jobs on the differences of checkpoints (server/convert).
grpc::ServerWriteReactor<v1::DiffResponse>* StartDiff(grpc::CallbackServerContext* context, const v1::DiffRequest& request,
                                                      ServiceContext& service);
grpc::ServerWriteReactor<v1::RecoverResponse>* StartRecover(grpc::CallbackServerContext* context, const v1::RecoverRequest& request,
                                                            ServiceContext& service);

}  // namespace cairn
