#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace cairn {

// INVALID_ARGUMENT "SOURCE: expected EXPECTED, found FOUND", with the same as ErrorInfo (reason BAD_OPTION).
absl::Status BadOption(absl::string_view source, absl::string_view expected, absl::string_view found);

// "did you mean --data-dir?", or `otherwise` when nothing in `known` is like `name`. '-' and '_' count as equal.
std::string DidYouMean(absl::string_view name, absl::Span<const std::string> known, absl::string_view otherwise);

}  // namespace cairn
