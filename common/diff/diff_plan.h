#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "common/tensor/checkpoint_index.h"

namespace cairn {

// How an entry of two checkpoints differs, as far as the indices tell.
enum class EntryDifference {
  kSameLayout,    // Tensors of one dtype and shape, assets of one length: the bytes decide between equal and changed.
  kEqual,         // Values and aliases.
  kChanged,       // Assets of different lengths.
  kValueChanged,  // Values, and aliases that point elsewhere.
  kAdded,         // In the target alone. A path whose kind changed is removed and added.
  kRemoved,
  kReshaped,      // Same dtype, another shape; perhaps another number of elements.
  kRecast,        // Another dtype; perhaps another shape too.
};

struct DiffItem {
  EntryDifference difference = EntryDifference::kSameLayout;
  std::optional<size_t> base;    // Index into the base's entries.
  std::optional<size_t> target;  // Index into the target's.
};

// One item for every entry of the target, in its order; then what only the base has, in its order.
std::vector<DiffItem> MakeDiffPlan(const CheckpointIndex& base, const CheckpointIndex& target);

}  // namespace cairn
