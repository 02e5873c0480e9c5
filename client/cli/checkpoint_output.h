#pragma once

#include <string>

#include "cairn/types.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {

// Field names are documented and stable.
nlohmann::json CheckpointToJson(const client::CheckpointInfo& checkpoint);

// "team/run@1000  13.5 GiB (1.2 GiB new)  291 entries  uid:...".
std::string CheckpointLine(const client::CheckpointInfo& checkpoint);

}  // namespace cairn::cli
