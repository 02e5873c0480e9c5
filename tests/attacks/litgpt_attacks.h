#pragma once

#include <vector>

#include "tests/attacks/lit_attack_files.h"

namespace cairn::testing {

// Folders whose lit_model.pth is missing, or is something else than the weights of a model, and such files alone.
std::vector<LitAttack> LitGptAttacks();

}  // namespace cairn::testing
