#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn {

// What a program needs to act on an error, besides the code: a reason in UPPER_SNAKE_CASE and facts by name ("ref",
// "path", "box", "expected", "found", "object"). Travels as google.rpc.ErrorInfo over the wire.
struct ErrorInfo {
  std::string reason;
  std::map<std::string, std::string> metadata;

  bool empty() const { return reason.empty() && metadata.empty(); }
};

// `status` with `info` attached; facts that it carries already stay, unless `info` names them again. OK stays OK.
absl::Status WithErrorInfo(absl::Status status, const ErrorInfo& info);

// What WithErrorInfo attached; empty if nothing.
ErrorInfo GetErrorInfo(const absl::Status& status);

}  // namespace cairn
