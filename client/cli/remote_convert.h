#pragma once

#include <string>

#include "absl/status/status.h"
#include "client/cli/command_set.h"
#include "client/cli/transfer.h"

namespace cairn::cli {

// `cairn convert` between two places of a daemon: it runs there, and this end shows how it goes. USAGE where one of the
// two is a file here: push and pull are for that.
absl::Status RunRemoteConvert(CommandContext& context, const std::string& source, const std::string& destination,
                              const SourceOptions& from, const TargetOptions& to);

}  // namespace cairn::cli
