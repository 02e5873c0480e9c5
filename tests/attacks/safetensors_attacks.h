#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace cairn::testing {

// A file that no reader may take for a good one, and what the refusal must say.
struct SafetensorsAttack {
  std::string name;
  std::string bytes;
  std::string message;
};

// Every trick that we know, one file each. Small, whatever they claim to be.
std::vector<SafetensorsAttack> SafetensorsAttacks();

// A safetensors file of this header text and these data bytes, right or wrong.
std::string SafetensorsFile(absl::string_view header, absl::string_view data = "");

}  // namespace cairn::testing
