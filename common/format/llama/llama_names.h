#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace cairn {

inline constexpr char kLlamaParamsName[] = "params.json";
// The names count in two digits.
inline constexpr size_t kLlamaMaxParts = 100;

inline std::string LlamaPartName(size_t part) { return absl::StrFormat("consolidated.%02d.pth", part); }

// The number in "consolidated.07.pth"; nothing for any other name.
inline std::optional<size_t> LlamaPartNumber(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, "consolidated.") || !absl::ConsumeSuffix(&name, ".pth")) return std::nullopt;
  if (name.size() != 2 || !absl::ascii_isdigit(name[0]) || !absl::ascii_isdigit(name[1])) return std::nullopt;
  return static_cast<size_t>(name[0] - '0') * 10 + static_cast<size_t>(name[1] - '0');
}

}  // namespace cairn
