#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/command_set.h"

namespace cairn::cli {

// A script that completes commands, options and refs in "bash", "zsh" or "fish". Commands and options are those of
// the tree; refs come from `cairn __complete`. INVALID_ARGUMENT for another shell.
absl::StatusOr<std::string> CompletionScript(const CommandSet& commands, absl::string_view shell);

}  // namespace cairn::cli
