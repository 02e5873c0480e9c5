#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/command_set.h"
#include "common/format/format.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {

// What is known of a checkpoint besides its index: where it lies, who wrote it.
struct IndexHeading {
  std::vector<std::pair<std::string, std::string>> rows;  // For people.
  nlohmann::json fields = nlohmann::json::object();       // For programs.
};

// Entries of `index` that the patterns choose, all for none. USAGE for bad patterns, NOT_FOUND for ones that
// match nothing.
absl::StatusOr<std::vector<size_t>> SelectEntries(const CheckpointIndex& index,
                                                  const std::vector<std::string>& patterns);

// A summary of the checkpoint and the entries `shown` of it; the first values of tensors too if asked for.
absl::Status PrintIndex(CommandContext& context, const IndexHeading& heading, CheckpointReader& reader,
                        const std::vector<size_t>& shown, bool with_values);

}  // namespace cairn::cli
