#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "common/format/colossalai/colossalai_states.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// Parameter groups as lists, also where a format without lists has made dicts of them with 0, 1, ... as keys: the groups
// themselves, and the params and betas in each. INVALID_ARGUMENT for groups that are no list then, which ColossalAI refuses.
absl::StatusOr<std::vector<OptimizerEntry>> WithLists(const CheckpointIndex& index, std::vector<OptimizerEntry> groups);

}  // namespace cairn
