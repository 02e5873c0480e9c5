#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// The tensors of a model as the optimizer counts them.
struct ModelOrder {
  std::vector<KeyPath> names;  // Without the segment of the model.
  std::string unknown;         // Not empty: why the order is not that of the model.
};

// Puts optimizer states under the names of their parameters instead of ids: optimizer/state/NAME/..., and names in
// optimizer/param_groups/[N]/params. By "param_names" of the groups where they have them, otherwise by the order of the
// model's parameters, which must be as many as the optimizer's and of their shapes. INVALID_ARGUMENT otherwise: nothing is
// guessed.
absl::Status NameOptimizerStates(const ModelOrder& order, const std::string& where, CheckpointIndex* index);

}  // namespace cairn
