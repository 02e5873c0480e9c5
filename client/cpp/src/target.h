#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn::client {

// What a target may be: HOST:PORT, [IPV6]:PORT or unix:/PATH. INVALID_ARGUMENT says what is wrong with it.
absl::Status CheckTarget(absl::string_view target);

bool IsUnixTarget(absl::string_view target);

struct HostPort {
  std::string host;  // Without brackets.
  std::string port;
};
// Of a target that CheckTarget() took and that is no Unix socket.
HostPort SplitTarget(absl::string_view target);

}  // namespace cairn::client
