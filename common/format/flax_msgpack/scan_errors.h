#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/format/flax_msgpack/msgpack_scan.h"

namespace cairn {

// INVALID_ARGUMENT "offset N: what".
absl::Status MalformedAt(uint64_t offset, absl::string_view what);

// INVALID_ARGUMENT "offset N: expected `expected`, found map of 2 pairs".
absl::Status UnexpectedToken(const MsgpackToken& token, absl::string_view expected);

// Bytes of a file for a message: in quotes, escaped, cut after 80.
std::string QuotedForMessage(absl::string_view bytes);

}  // namespace cairn
