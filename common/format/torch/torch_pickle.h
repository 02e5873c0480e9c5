#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/pickle/pickle_writer.h"
#include "common/tensor/checkpoint_index.h"
#include "common/view/strided_view.h"

namespace cairn {

// Writes, as the pickle's next value, the call that makes a contiguous tensor over the storage of that key, which holds
// nothing else. INVALID_ARGUMENT for a dtype that torch lacks.
absl::Status WriteTorchTensor(absl::string_view storage_key, Dtype dtype, absl::Span<const int64_t> shape, PickleWriter& writer);

// The object of one torch file: its pickle, and whose bytes its storages are.
struct TorchObject {
  std::string pickle;            // Protocol 2.
  std::vector<size_t> storages;  // Entries: storage "0", "1", ... in this order.
};

// Makes the tree of containers again that the key paths say: dicts, and lists and tuples where a value marks them. An
// alias is the same tensor object as its target. `entries` (numbers into the index, without assets) come in their order,
// children of one container together. With `flat_names` (one per entry of the index) there is one dict with those keys.
// INVALID_ARGUMENT for lists with gaps, and for dtypes that torch lacks.
absl::StatusOr<TorchObject> MakeTorchObject(const CheckpointIndex& index, absl::Span<const size_t> entries,
                                            const std::vector<std::string>* flat_names);

}  // namespace cairn
