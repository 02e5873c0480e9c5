#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/tensor/checkpoint_index.h"
#include "common/tensor/key_path.h"

namespace cairn {

// Where the weights of a model are, in a checkpoint that may hold more: an optimizer, counters, a second copy.
struct WeightsPlace {
  KeyPath root;  // What they lie below; empty: the top level.
  // In front of each name below the root, and none of the model's: "model." in checkpoints of Lightning, "module." of DDP.
  std::string prefix;
  // Parts of names that wrappers have left, without their dots, as found: "_orig_mod" of torch.compile. Sorted.
  std::vector<std::string> wrappers;
  // Entries that are weights, ascending: tensors (buffers too), aliases, and the marks of lists and tuples they lie in.
  std::vector<size_t> entries;
  // Tensors at the top level that are named as what training keeps ("loss", "scheduler"), and so are none of the above.
  std::vector<std::string> lone_others;
  std::string form;  // Whose way of saving it is: "EasyLM train state".

  uint64_t tensors = 0;
  uint64_t parameters = 0;  // Elements of all tensors.
  uint64_t bytes = 0;

  // The path without prefix and parts of wrappers. `below_root`: without the root.
  KeyPath NameOf(const KeyPath& below_root) const;
  // "EasyLM train state: under params/params".
  std::string Describe() const;
};

struct WeightsFinding {
  std::optional<WeightsPlace> place;
  // If there is no place: what could be meant, shown paths ("model", "ema"). Empty: nothing looks like weights.
  std::vector<std::string> candidates;
};

// Looks at names only. `root`: look below it. Knows a state dict by itself; one under `model`, `module`, `state_dict`,
// `model_state_dict` or `params`; the train states of EasyLM and Flax; checkpoints of Fabric and the Lightning Trainer; and
// models at the top level beside `optimizer` and the like (torchtitan).
WeightsFinding FindWeights(const CheckpointIndex& index, const KeyPath& root = {});

// Of a finding without a place: INVALID_ARGUMENT, with the candidates and what to do.
absl::Status WeightsError(const WeightsFinding& finding, const KeyPath& root);

}  // namespace cairn
