#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/format/flax_msgpack/flax_leaf.h"
#include "common/format/flax_msgpack/piece_table.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// How a Flax file tells a numpy scalar from an array without dimensions is kept as metadata under this key: the shown
// paths of the scalars, one per line.
inline constexpr char kFlaxScalarsMetadata[] = "flax.numpy_scalars";

// An str that stands in a file for an array which several processes hold; what follows is a path beside the file.
inline constexpr char kFlaxPlaceholder[] = "//GDAPlaceholder:";

// What one file holds, in its order.
struct FlaxTree {
  std::vector<Entry> entries;
  PieceTable pieces;                 // Of the entries.
  std::vector<std::string> scalars;  // Shown paths.
};

// What all files of a checkpoint may take in memory together.
struct FlaxTreeBudget {
  explicit FlaxTreeBudget(const ReadLimits& limits)
      : values(limits), entries(limits.max_entries), path_bytes(4 * limits.max_header_bytes) {}
  FlaxBudget values;
  uint64_t entries;
  uint64_t path_bytes;  // A deep path over many tiny leaves grows a hundredfold.
};

// Reads the one map that a file is, headers only. INVALID_ARGUMENT with the file's name, the entry and the offset for
// anything else.
absl::StatusOr<FlaxTree> ScanFlaxTree(const ByteSource& source, const ReadLimits& limits, FlaxTreeBudget& budget);

// Whether the file could be such a map, as far as its first kilobytes tell.
bool LooksLikeFlaxTree(const ByteSource& source);

}  // namespace cairn
