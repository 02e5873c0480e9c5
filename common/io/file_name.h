#pragma once

#include <string>

#include "absl/status/status.h"

namespace cairn {

// Names of files come from index files and from the wire, so nothing about them is taken for granted. INVALID_ARGUMENT
// unless `name` is one of a file inside the folder `tree` (for the message): relative, without "..", "." and empty
// segments.
absl::Status CheckFileName(const std::string& tree, const std::string& name);

}  // namespace cairn
