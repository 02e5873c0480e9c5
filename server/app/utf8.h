#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace cairn {

// Whether `bytes` are well-formed UTF-8 (no surrogates, no overlong forms) without control characters (C0, DEL,
// C1, line and paragraph separators).
bool IsPrintableUtf8(absl::string_view bytes);

// `bytes` for one line of text: control characters as \n, \t or \u0007, a byte that is no UTF-8 as U+FFFD. All else,
// backslashes too, stays.
std::string OneLine(absl::string_view bytes);

// `bytes` as a JSON string with its quotes, by the same rules. Valid as a YAML string, too.
std::string JsonQuoted(absl::string_view bytes);

}  // namespace cairn
