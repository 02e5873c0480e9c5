#pragma once

#include "absl/status/statusor.h"
#include "common/convert/convert_plan.h"
#include "common/convert/weights.h"

namespace cairn {

struct WeightsPlan {
  WeightsPlace place;
  ConvertPlan plan;
};

// MakeConvertPlan of the weights alone, as a tree of their own, under the model's names. Below `options.root`, if there is
// one. Where several places could be meant, that of what `options.select` chooses counts.
absl::StatusOr<WeightsPlan> MakeWeightsPlan(const CheckpointIndex& source, PlanOptions options);

}  // namespace cairn
