#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "common/namemap/name_map.h"

namespace cairn {

// A tensor of a rule's side and a part of it.
struct RulePart {
  size_t tensor = 0;
  size_t part = 0;
};

// The parts of a side, in order: those of one side are those of the other.
std::vector<RulePart> PartsOf(const std::vector<NameMap::Tensor>& side);

// One tensor becomes another as it is.
bool IsRename(const NameMap::Rule& rule);

// True if the tensors of either side are counted by a placeholder that the other side has as an axis.
bool IsStack(const NameMap::Rule& rule);

// INVALID_ARGUMENT unless both sides have the same placeholders and the same parts, each of the same axes.
absl::Status CheckRule(const NameMap::Rule& rule);

}  // namespace cairn
