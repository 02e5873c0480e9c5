#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace cairn::testing {

// A pickle that no reader may take for a good one, and what the refusal must say.
struct PickleAttack {
  std::string name;
  std::string bytes;
  absl::StatusCode code;
  std::string message;
};

// Every trick that we know, one pickle each. Small, whatever they claim to be.
std::vector<PickleAttack> PickleAttacks();

// Good pickles of all shapes, by name: every opcode is in one of them.
std::vector<std::pair<std::string, std::string>> PickleSamples();

}  // namespace cairn::testing
