#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace cairn::wire {

// absl::Status <-> grpc::Status. Code and message are kept; ErrorInfo (common/base/error_info.h) travels as a
// google.rpc.Status with a google.rpc.ErrorInfo (domain "cairn") in the binary details. Details that do not decode
// are dropped.
grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace cairn::wire
