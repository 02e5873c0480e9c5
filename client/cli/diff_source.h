#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/command_set.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"
#include "common/tensor/selection.h"

namespace cairn::cli {

// A checkpoint named on the command line, be it a file or a ref.
struct DiffSource {
  std::unique_ptr<CheckpointReader> reader;
  std::string label;                 // For people who look for it later: the shown ref, or the file's name.
  std::string identity;              // What tells one content from another, without reading it.
  std::string uid_ref;               // Of refs.
  std::vector<std::string> digests;  // Of refs: the daemon's, by entry.
};
absl::StatusOr<DiffSource> OpenDiffSource(CommandContext& context, const std::string& text);

// Of two sources only what `patterns` choose. USAGE for patterns that do not parse or match nothing in either.
absl::Status SelectInBoth(const std::vector<std::string>& patterns, DiffSource& first, DiffSource& second);

// The bytes of a diff file: a file, or the asset that a ref stores. Null if it is no exact diff, but another checkpoint.
absl::StatusOr<std::unique_ptr<ByteSource>> OpenDiffBytes(CommandContext& context, const std::string& text,
                                                          std::string* identity);

// Where a command writes to: a file, unless the argument can only be meant as NAME@STEP.
bool IsRefTarget(const std::string& text);

}  // namespace cairn::cli
