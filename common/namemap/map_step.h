#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/namemap/map_library.h"
#include "common/namemap/symbols.h"
#include "common/namemap/virtual_tensor.h"

namespace cairn {

// A tensor between two steps of a mapping, or another name of one.
struct NamedTensor {
  std::string name;
  VirtualTensor tensor;
  std::string alias_of;  // Not empty: `tensor` is that of this name.
};

struct StepResult {
  std::vector<NamedTensor> tensors;
  std::vector<std::string> dropped;  // Names.
};

// Applies one map in one direction. Symbols that shapes tell are added. Errors as MakeMappedPlan says.
absl::StatusOr<StepResult> ApplyMapStep(const MapStep& step, const std::vector<NamedTensor>& source, Symbols& symbols);

}  // namespace cairn
