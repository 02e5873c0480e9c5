#pragma once

#include <optional>

#include "common/tensor/checkpoint_index.h"
#include "common/tensor/key_path.h"

namespace cairn {

// Where the parameters of a train state are: "params/params" in EasyLM's, "params" in those of plain Flax. Nothing for
// what is no train state.
std::optional<KeyPath> ParamsOfTrainState(const CheckpointIndex& index);

}  // namespace cairn
