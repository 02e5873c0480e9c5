#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/namemap/map_library.h"
#include "common/namemap/symbols.h"
#include "common/namemap/virtual_tensor.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// What of a source becomes what under other names. Pure data: easy to test and to print.
struct MappedPlan {
  // Where an entry of the target comes from.
  struct Origin {
    std::optional<VirtualTensor> tensor;  // Of a tensor,
    std::optional<size_t> asset;          // of an asset: the source's entry. Neither for an alias.
  };
  CheckpointIndex target;
  std::vector<Origin> origins;       // One per target entry, in its order.
  std::vector<std::string> dropped;  // Source entries, as shown, that rules leave out.
  Symbols symbols;                   // What was found: "heads" -> 32.
};

// Reads steps one after the other. `given` are symbols that the user names; the rest comes from the configuration, from
// shapes and from what maps derive, in that order.
//
// INVALID_ARGUMENT, naming the entries: names that no rule knows (all of them listed, up to a limit), shapes that do
// not fit the symbols, parts that are missing, symbols that are needed and not known. Assets stay as they are.
absl::StatusOr<MappedPlan> MakeMappedPlan(const CheckpointIndex& source, absl::Span<const MapStep> steps,
                                          const ConfigDocuments& config, const Symbols& given = {});

}  // namespace cairn
