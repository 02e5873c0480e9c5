#pragma once

#include "absl/status/statusor.h"
#include "cairn/v1/checkpoint_service.pb.h"
#include "grpcpp/support/server_callback.h"
#include "server/convert/convert_job.h"
#include "server/service/service_context.h"

namespace cairn {

// Convert: one job on the job pool, which reports as it goes.
grpc::ServerWriteReactor<v1::ConvertResponse>* StartConvert(grpc::CallbackServerContext* context,
                                                            const v1::ConvertRequest& request, ServiceContext& service);

// What Export and Import share with it: the job that a message asks for, how far it is, and how it ended.
absl::StatusOr<ConvertRequest> ConvertRequestFromProto(const v1::ConvertRequest& in);
v1::ConvertResponse ToResponse(const ConvertProgress& progress);
v1::ConvertResponse LastResponse(const ConvertResult& result);

}  // namespace cairn
