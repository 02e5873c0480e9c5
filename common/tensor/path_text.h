#pragma once

// How shown key paths are cut and unescaped: shared by KeyPath, KeyGlob and Selection, for nobody else.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace cairn::path_text {

// The parts between the slashes that no '\' precedes; at least one.
std::vector<absl::string_view> SplitSegments(absl::string_view text);

// `text` begins with '\': takes the escape off its front and returns the byte that it stands for.
// INVALID_ARGUMENT for one that is none ("\e" is none here: it is a whole segment).
absl::StatusOr<char> ConsumeEscape(absl::string_view* text);

// 7 for "[7]". Nothing for any other text.
std::optional<int64_t> ParsePosition(absl::string_view text);

}  // namespace cairn::path_text
