#pragma once

#include "cairn/v1/checkpoint_service.pb.h"
#include "grpcpp/support/server_callback.h"
#include "server/service/service_context.h"

namespace cairn {

// Convert: one job on the job pool, which reports as it goes.
grpc::ServerWriteReactor<v1::ConvertResponse>* StartConvert(grpc::CallbackServerContext* context,
                                                            const v1::ConvertRequest& request, ServiceContext& service);

}  // namespace cairn
