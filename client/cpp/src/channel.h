#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cairn/options.h"
#include "grpcpp/channel.h"

namespace cairn::client {

// A channel with the settings that carry tensors well; nothing is sent yet. INVALID_ARGUMENT for a target that is
// neither HOST:PORT nor unix:/PATH, for certificates that cannot be used, and for a bearer token that would cross a network in plain text.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(absl::string_view target, const Options& options);

}  // namespace cairn::client
