#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/tensor/shape.h"
#include "common/view/strided_reader.h"

namespace cairn {

// How a box of a strided view is taken from its storage into memory: runs of the storage, at regular distances, laid
// down one after the other.
struct TileLayout {
  struct Loop {
    uint64_t count = 1;
    uint64_t storage_stride = 0;  // Elements.
    uint64_t memory_stride = 0;
  };
  uint64_t run_elements = 1;
  std::vector<Loop> loops;       // Innermost (nearest in the storage) first.
  uint64_t memory_elements = 1;  // Saturated, if there are more than 64 bits can count.
  std::vector<int64_t> strides;  // Of each dimension, in memory.
};

// Of a box of these extents (none is 0).
TileLayout LayOutTile(absl::Span<const int64_t> extents, absl::Span<const int64_t> strides);

// Reads the box whose first element is the storage's element `first` into `memory`, in the layout's order. `staging`
// is memory for reading through small gaps.
absl::Status FetchTile(const TileLayout& layout, uint64_t first, uint32_t element_size, const StorageRead& read,
                       absl::Span<char> staging, char* memory);

// Reads `count` runs of `run` bytes that lie `stride` bytes apart in the storage, and lays them down one after the
// other: one by one, or many at a time where reading the gaps as well costs less than asking again.
absl::Status FetchRuns(uint64_t offset, uint64_t run, uint64_t count, uint64_t stride, const StorageRead& read,
                       absl::Span<char> staging, char* memory);

}  // namespace cairn
