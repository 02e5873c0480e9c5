#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cairn/connection.h"
#include "client/cpp/src/stub.h"

namespace cairn::client {

// Opens a stream and returns once its header has come. The stream shares the stub; `target` is for messages.
absl::StatusOr<std::unique_ptr<GetStream>> OpenGetStream(std::shared_ptr<Stub> stub, const Options& options,
                                                         const std::string& target, const GetSpec& spec);

}  // namespace cairn::client
