#pragma once

#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/service/service_context.h"

namespace cairn {

// Import: a format's reader on a thread of the file pool, whose bytes the client sends as they are asked for.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartImport(grpc::CallbackServerContext* context, ServiceContext& service);

}  // namespace cairn
