#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/format/torch/torch_tensor.h"
#include "common/pickle/pickle_tree.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// What the object of a torch file holds, as entries.
struct TorchContents {
  std::vector<Entry> entries;
  std::vector<TorchTensor> tensors;  // One per entry, without the shape, which is the entry's; empty ones for others.
  std::vector<LeftOut> left_out;
};

// How much more than its size allows a checkpoint may be taken apart to. A container may stand in several places (betas
// that all groups of an optimizer share), and a key that is written once may be that of many dicts; and a small file in which
// each list holds the next one twice has more leaves than any machine. One for all files of a checkpoint.
struct TorchBudget {
  uint64_t repeated_entries = 5000;  // Below second and later places of containers, beyond four for each object of a pickle.
  uint64_t path_bytes = 64u << 20;   // Of key paths, beyond 16 for each byte of a pickle.
};

// Walks a pickle as a tree of containers: dicts with keys that are strings or integers, lists and tuples are taken apart,
// what is plain becomes a value, a second place of the same tensor (the same view of the same storage) an alias.
// Objects of unknown classes are opaque values; with tensors inside they are left out, by name.
// What is no container has the path "tensor" or "value"; a list at the root is a tree with the keys [0], [1], ...
//
// `where` (a file's name) is for messages. INVALID_ARGUMENT for malformed tensors, beyond the limits and beyond the budget.
absl::StatusOr<TorchContents> ReadTorchContents(const PickleTree& tree, PickleNodeId root, absl::string_view where,
                                                const ReadLimits& limits, TorchBudget* budget);
// The same with all of it at the path `at`, which is not empty: a list or tuple is marked there, a lone value or tensor
// stands there.
absl::StatusOr<TorchContents> ReadTorchContentsAt(const KeyPath& at, const PickleTree& tree, PickleNodeId root,
                                                  absl::string_view where, const ReadLimits& limits, TorchBudget* budget);

}  // namespace cairn
