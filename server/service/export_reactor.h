#pragma once

#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/service/service_context.h"

namespace cairn {

// Export: a format's writer on a thread of the file pool, whose files go out as they are written.
grpc::ServerWriteReactor<grpc::ByteBuffer>* StartExport(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                                        ServiceContext& service);

}  // namespace cairn
