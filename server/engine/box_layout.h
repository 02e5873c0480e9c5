#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "common/tensor/shape.h"

namespace cairn {

// Where the elements of a box of a tensor lie in the shards that the tensor was saved as. Pure arithmetic.
class BoxLayout {
 public:
  // Elements that are contiguous both in the box and in one shard.
  struct Run {
    size_t shard = 0;       // Index into the shards given.
    uint64_t position = 0;  // Element position within the shard, row-major.
    uint64_t length = 0;    // Elements from there on.
  };

  // Both boxes and shards lie inside one tensor.
  BoxLayout(Box target, absl::Span<const Box> shards);

  // Elements of the box.
  uint64_t elements() const { return elements_; }

  // The run that begins at this element of the box (row-major). Nothing if no shard has it. `position` < elements().
  std::optional<Run> At(uint64_t position);

  // Rows that lie in many shards: whoever reads the box from front to back goes to and fro between these. The most bytes
  // that it does so between, `bytes` being those of each shard that it must have at hand; a shard that is read in one go, or
  // in runs of as many bytes, counts nothing.
  uint64_t Interleaved(absl::Span<const uint64_t> bytes, uint64_t element_bytes) const;

 private:
  struct Source {
    size_t shard;
    Box box;
    std::vector<uint64_t> stride;  // Of the shard, in elements.
    Box common;                    // With the target.
    size_t first_inner;            // Dimensions from here on form one contiguous run of the common box.
    uint64_t run_length;
  };

  const Box target_;
  uint64_t elements_ = 1;
  std::vector<Source> sources_;
  size_t last_ = 0;  // Rows that alternate between shards come back in the same order.
};

}  // namespace cairn
