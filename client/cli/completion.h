#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cairn/types.h"
#include "client/cli/command_set.h"

namespace cairn::cli {

// A script that completes commands, options and refs in "bash", "zsh" or "fish". Commands and options are
// those of the tree; refs come from `cairn __complete`. INVALID_ARGUMENT for another shell.
absl::StatusOr<std::string> CompletionScript(const CommandSet& commands, absl::string_view shell);

// What a shell may offer for the beginning `typed` of a ref: names, and once a name is complete its steps and
// tags. Only well-formed refs: shells expand what they are given, so nothing else of a server's may reach
// them.
std::vector<std::string> RefCandidates(const std::vector<client::CheckpointInfo>& checkpoints,
                                       absl::string_view typed);

}  // namespace cairn::cli
