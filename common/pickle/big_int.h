#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace cairn {

// Both take time in the square of the length; callers bound it.

// `bytes`: two's complement, little-endian; none are 0.
std::string TwosComplementToDecimal(absl::string_view bytes);
// `-` and digits. The fewest bytes, none for 0. Nothing if it is no such text.
std::optional<std::string> DecimalToTwosComplement(absl::string_view decimal);

}  // namespace cairn
