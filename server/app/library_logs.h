#pragma once

namespace cairn {

// From now on what gRPC and protobuf have to say comes out through Log(), so that the daemon's log is of one format.
// How much gRPC says is still set by GRPC_VERBOSITY and GRPC_TRACE.
void RouteLibraryLogs();

}  // namespace cairn
