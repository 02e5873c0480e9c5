#pragma once

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace cairn::client {

// INVALID_ARGUMENT naming the field if a text in `request` is not UTF-8. protobuf would send it all the same, and the
// peer answer that it does not understand the call.
absl::Status CheckText(const google::protobuf::Message& request);

}  // namespace cairn::client
