#pragma once

#include <vector>

#include "tests/attacks/lit_attack_files.h"

namespace cairn::testing {

// Files that claim to be the Trainer's, and sharded folders whose meta.pt and shards contradict themselves or each other.
std::vector<LitAttack> LightningAttacks();
// What only goes wrong where the weights alone are meant (lightning_weights::).
std::vector<LitAttack> LightningWeightsAttacks();

}  // namespace cairn::testing
