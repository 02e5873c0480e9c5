#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/namemap/name_map.h"
#include "common/namemap/symbols.h"
#include "common/namemap/virtual_tensor.h"

namespace cairn {

struct RuleTensor {
  std::string name;  // For messages.
  const VirtualTensor* value = nullptr;
};
// What stands for one tensor of the source side: one, or all of a stack in order.
using RuleSource = std::vector<RuleTensor>;

struct RuleResult {
  size_t tensor = 0;     // Of the target side.
  int64_t in_stack = 0;  // Which, where the rule makes several of one.
  VirtualTensor value;
};

// Cuts the tensors of one side into their parts, and puts those together as the other side has them.
// INVALID_ARGUMENT, naming the tensor, for a shape that does not fit or a symbol that is not known.
absl::StatusOr<std::vector<RuleResult>> BuildRule(const NameMap::Rule& rule, size_t from_side,
                                                  const std::vector<RuleSource>& sources, const Symbols& symbols);

}  // namespace cairn
