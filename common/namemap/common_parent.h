#pragma once

#include <cstddef>

#include "common/tensor/checkpoint_index.h"

namespace cairn {

// How many segments in front all tensors have in common, the last segment of each not counted: 1 where all stand below
// "model". Flat names are what comes behind.
size_t CommonParentDepth(const CheckpointIndex& index);

// The path without its first `depth` segments.
KeyPath WithoutParent(const KeyPath& path, size_t depth);

}  // namespace cairn
