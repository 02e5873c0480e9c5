#pragma once

#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/service/service_context.h"

namespace cairn {

// Handles one PutTensor stream. The reactor owns itself and goes when the stream is done.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartPutTensor(grpc::CallbackServerContext* context,
                                                                            ServiceContext& service);

}  // namespace cairn
