#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace cairn {

enum class Utf8Form { kStrict, kWithSurrogates, kNone };
// Python writes lone surrogates into pickles as UTF-8 would, were they characters ("surrogatepass").
Utf8Form Utf8FormOf(absl::string_view text);

// What the lines of protocols 0 and 1 say. Nothing for lines that CPython does not write.

// STRING: 'a\n\x00', the quotes included.
std::optional<std::string> UnquotePickleString(absl::string_view line);
// UNICODE: Latin-1, and everything else as \uXXXX or \UXXXXXXXX. The result is of the form of Utf8FormOf.
std::optional<std::string> UnescapePickleUnicode(absl::string_view line);
// INT and LONG: decimal digits, perhaps a sign before and an L after. The result has no `+` and no leading zeros.
std::optional<std::string> NormalDecimal(absl::string_view line);

// As UTF-8 of each byte's character in Latin-1, and back (nothing if there are others).
std::string Latin1ToUtf8(absl::string_view bytes);
std::optional<std::string> Utf8ToLatin1(absl::string_view text);

}  // namespace cairn
