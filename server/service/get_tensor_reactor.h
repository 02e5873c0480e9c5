#pragma once

#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/service/service_context.h"

namespace cairn {

// Handles one GetTensor stream. The reactor owns itself and goes when the stream is done.
grpc::ServerWriteReactor<grpc::ByteBuffer>* StartGetTensor(grpc::CallbackServerContext* context,
                                                           const grpc::ByteBuffer* request, ServiceContext& service);

}  // namespace cairn
