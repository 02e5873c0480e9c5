#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn {

// Returns `status` with "`what`: " before its message, unless the message names `what` already. Keeps code and
// payloads. OK stays OK. Use it where the name of the thing is known, once, on the way up.
absl::Status Annotate(const absl::Status& status, absl::string_view what);

}  // namespace cairn
