#pragma once

#include <cstddef>
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

// Walks a pickle as a tree of containers: dicts with keys that are strings or integers, lists and tuples are taken apart,
// what is plain becomes a value, a second place of the same tensor (the same view of the same storage) an alias.
// Objects of unknown classes are opaque values; with tensors inside they are left out, by name.
// What is no container has the path "tensor" or "value"; a list at the root is a tree with the keys [0], [1], ...
//
// `where` (a file's name) is for messages. INVALID_ARGUMENT for malformed tensors and beyond the limits.
absl::StatusOr<TorchContents> ReadTorchContents(const PickleTree& tree, PickleNodeId root, absl::string_view where,
                                                const ReadLimits& limits);
// The same with all of it at the path `at`, which is not empty: a list or tuple is marked there, a lone value or tensor
// stands there.
absl::StatusOr<TorchContents> ReadTorchContentsAt(const KeyPath& at, const PickleTree& tree, PickleNodeId root,
                                                  absl::string_view where, const ReadLimits& limits);

}  // namespace cairn
