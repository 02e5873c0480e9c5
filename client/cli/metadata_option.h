#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace cairn::cli {

// What --metadata says, KEY=VALUE each. USAGE for anything else, and for a key that comes twice.
absl::StatusOr<std::map<std::string, std::string>> ParseMetadata(const std::vector<std::string>& items);

}  // namespace cairn::cli
