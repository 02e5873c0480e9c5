#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tests/attacks/flax_leaf_attacks.h"

namespace cairn::testing {

// A file that no reader may take for a good one, and what the refusal must say.
struct EasyLmAttack {
  std::string name;
  std::string bytes;
  std::string message;
};

// Every trick that we know, one file each. Small, whatever they claim to be.
std::vector<EasyLmAttack> EasyLmAttacks();

// One object of a streaming file.
std::string EasyLmObjectBytes(const std::vector<std::string>& key, absl::string_view value);

}  // namespace cairn::testing
