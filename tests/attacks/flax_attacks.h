#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "tests/attacks/flax_leaf_attacks.h"

namespace cairn::testing {

// A Flax file that no reader may take for a good one, and what the refusal must say.
struct FlaxAttack {
  std::string name;
  std::string bytes;
  std::string message;
};

// Every trick that we know, one file each. Small, whatever they claim to be.
std::vector<FlaxAttack> FlaxAttacks();

// A map of fewer than 16 pairs: keys, packed, and what belongs to them.
std::string PackedMap(const std::vector<std::pair<std::string, std::string>>& pairs);

}  // namespace cairn::testing
