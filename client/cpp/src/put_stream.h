#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cairn/connection.h"
#include "client/cpp/src/stub.h"

namespace cairn::client {

// Opens a stream for one writer and asks what the daemon has of it already. The stream shares the stub; `target` is
// for messages.
absl::StatusOr<std::unique_ptr<PutStream>> OpenPutStream(std::shared_ptr<Stub> stub, const Options& options,
                                                         const std::string& target, const PutSpec& spec);

}  // namespace cairn::client
