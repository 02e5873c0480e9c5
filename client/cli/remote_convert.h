#pragma once

#include <string>

#include "absl/status/status.h"
#include "cairn/types.h"
#include "client/cli/command_set.h"
#include "client/cli/transfer.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {

// What the options say, into a conversion that runs in a daemon and whose places are set. USAGE for what does not fit
// together.
absl::Status FillConvertSpec(const SourceOptions& from, const TargetOptions& to, client::ConvertSpec& spec);

// What the daemon found in the source and left out, on stderr; and of a report in JSON what tells of it.
void NoteConversion(CommandContext& context, const client::ConversionResult& result);
void DescribeConversion(const client::ConversionResult& result, nlohmann::json& report);

// `cairn convert` between two places of a daemon: it runs there, and this end shows how it goes. USAGE where one of the
// two is a file here: push and pull are for that.
absl::Status RunRemoteConvert(CommandContext& context, const std::string& source, const std::string& destination,
                              const SourceOptions& from, const TargetOptions& to);

}  // namespace cairn::cli
