#pragma once

#include <memory>

#include "grpcpp/impl/codegen/service_type.h"
#include "server/service/service_context.h"

namespace cairn {

// The gRPC service cairn.v1.CheckpointService over an engine: validates, converts, streams; holds no policy. Handlers
// never block: work goes to the pools of the context, which outlives the service.
std::unique_ptr<grpc::Service> MakeCheckpointService(ServiceContext& context);

}  // namespace cairn
