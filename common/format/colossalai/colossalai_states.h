#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/format/colossalai/colossalai_plan.h"

namespace cairn {

// An entry of an optimizer, and where it stands below optimizer/state or optimizer/param_groups.
struct OptimizerEntry {
  size_t number = 0;
  KeyPath path;
  std::optional<SharedValue> value = std::nullopt;  // In the place of an entry: `number` is ColossalAiFile::kOwnBytes.
};

struct OptimizerPlan {
  std::vector<ColossalAiFile> files;  // The shards, and then the parameter groups; or one file of everything.
  ColossalAiIndexFile index;          // Not for one file.
};

struct OptimizerLayout {
  bool safetensors = false;
  bool lone = false;             // One file.
  uint64_t max_shard_bytes = 0;
};

// States by ids of parameters, or by their names where the groups have names too: those are numbered in their order.
// INVALID_ARGUMENT for states of parameters that no group has, and for what the layout cannot hold.
absl::StatusOr<OptimizerPlan> PlanOptimizer(const CheckpointIndex& index, std::vector<OptimizerEntry> states,
                                            std::vector<OptimizerEntry> groups, const OptimizerLayout& layout);

}  // namespace cairn
