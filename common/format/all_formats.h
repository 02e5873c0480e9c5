#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/format/format.h"

namespace cairn {

// Every format, in the order in which detection asks them. Added here by hand.
const std::vector<const Format*>& AllFormats();

// INVALID_ARGUMENT, with the names there are, for an unknown one.
absl::StatusOr<const Format*> FormatByName(absl::string_view name);

// The one format whose Detect() says yes, but for those that another one of them specialises. INVALID_ARGUMENT otherwise:
// what was found, or the several ways to read it (a folder with the same weights in two formats).
absl::StatusOr<const Format*> DetectFormat(const SourceTree& source);

// A file argument as people type it: "PATH", or "PREFIX::PATH" where PREFIX is a format's name or a variant of one.
struct FileSpec {
  const Format* format = nullptr;  // Null: detect (reading) or by suffix and options (writing).
  std::string variant;
  std::string path;
};
// INVALID_ARGUMENT for an unknown prefix, with the ones there are.
absl::StatusOr<FileSpec> ParseFileSpec(absl::string_view text);

// Opens a file argument for reading, detecting the format if the argument names none.
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenCheckpointFile(const FileSpec& spec, const ReadLimits& limits);

}  // namespace cairn
