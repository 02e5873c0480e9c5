#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn::cli {

// What the program ends with; documented in docs/cli.md and in `cairn --help`. Scripts depend on these: never
// renumber.
enum ExitCode : int {
  kExitOk = 0,
  kExitError = 1,
  kExitUsage = 2,
  kExitNotFound = 3,
  kExitPrecondition = 4,  // Already exists, or something else that must hold does not.
  kExitDamaged = 5,
  kExitUnreachable = 6,
  kExitDifferent = 7,  // `cairn diff`: it worked, and the checkpoints differ.
  kExitInterrupted = 130,
};

// A mistake in how the program was called, found after parsing.
absl::Status UsageError(absl::string_view message);
// `status` of reading a file that turned out not to be what it should be. Such bytes are INVALID_ARGUMENT to
// a format reader, but to whoever runs the program a truncated file is damage, not a mistake of theirs.
absl::Status AsDamagedFile(const absl::Status& status);

int ExitCodeFor(const absl::Status& status);

// "NOT_FOUND", "USAGE", ...: the word after "cairn: ".
std::string ErrorWord(const absl::Status& status);

// What the user can do about it; empty if the message says all there is.
std::string HintFor(const absl::Status& status, absl::string_view server);

}  // namespace cairn::cli
