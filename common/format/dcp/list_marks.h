#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/tensor/checkpoint_index.h"
#include "common/tensor/key_path.h"

namespace cairn {

// The lists that paths lead through, where nobody wrote down the lists themselves: what has numbers alone for its
// children is one. For each path, the entries that are to stand before it: marks of the lists that begin with it, and
// None for the places of a list that no path fills, as torch does. INVALID_ARGUMENT for lists with more than
// `max_entries` such places.
absl::StatusOr<std::vector<std::vector<Entry>>> MarkLists(absl::Span<const KeyPath* const> paths, uint64_t max_entries);

}  // namespace cairn
