#pragma once

#include <optional>

#include "absl/strings/string_view.h"

namespace cairn {

// Takes the code point that `text` begins with off its front. Nothing, with `text` as it was, if it is empty
// or does not begin with well-formed UTF-8 (no surrogates, no overlong forms, nothing above U+10FFFF).
std::optional<char32_t> ConsumeUtf8(absl::string_view* text);

// True if all of `text` is well-formed UTF-8.
bool IsUtf8(absl::string_view text);

}  // namespace cairn
