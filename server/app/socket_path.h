#pragma once

#include <string>

#include "absl/status/status.h"

namespace cairn {

// Whether a Unix socket may be made at `path`. A socket that nobody serves, as a killed daemon leaves it, may be
// replaced; gRPC does so without a word even where somebody does. FAILED_PRECONDITION for one that is served, for what
// is no socket, and where there is no folder.
absl::Status CheckSocketPath(const std::string& path);

}  // namespace cairn
