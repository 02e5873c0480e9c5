#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/format/format.h"
#include "common/tensor/checkpoint_index.h"
#include "common/tensor/key_path.h"
#include "common/tensor/shape.h"

namespace cairn {

// How a checkpoint is laid out as items, as torch 2.4 and later flatten one: dicts are taken apart, and lists that hold
// tensors or dicts; everything else is one value. Names are paths joined with dots, keys that are integers are strings.

// One file of torch.save within a data file: a chunk of a tensor, or a value.
struct DcpPlannedItem {
  size_t key = 0;                // Into DcpPlan::keys.
  std::optional<size_t> chunk;   // Of that key's tensor. Its pickle is made when it is written.
  std::string pickle;            // Of a value.
  std::vector<size_t> storages;  // Entries: whose bytes the storages of a value are, whole. A chunk's is part of one.
};

// One name of the flat dict.
struct DcpKey {
  std::string name;
  KeyPath path;                   // As torch calls it: list indices and names.
  std::optional<size_t> tensor;   // The entry, if it is a tensor,
  Shape stored_shape;             // and its shape as torch counts: of packed elements, bytes.
  std::vector<Box> chunks;        // At least one.
  std::optional<size_t> same_as;  // Another name of that key.
};

struct DcpPlan {
  std::vector<DcpKey> keys;           // In the order of the index.
  std::vector<DcpPlannedItem> items;  // In the order in which they are written: values without tensors first.
  std::vector<size_t> assets;         // Entries.
  std::vector<std::string> problems;  // The first of what cannot be held, by name, and
  size_t problem_count = 0;           // how much that is. It is missing in the plan.
};

// With `max_chunk_bytes`, tensors that are larger are cut into chunks that lie one after the other in their bytes.
// INVALID_ARGUMENT for lists with gaps and for values that are no values.
absl::StatusOr<DcpPlan> PlanDcp(const CheckpointIndex& index, uint64_t max_chunk_bytes);

// The chunks of a row-major tensor whose bytes follow each other, none larger than `max_bytes` (unless one element is).
std::vector<Box> CutInOrder(const Shape& shape, uint32_t element_size, uint64_t max_bytes);

}  // namespace cairn
