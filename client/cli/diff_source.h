#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/types.h"
#include "client/cli/command_set.h"
#include "common/diff/selected_reader.h"
#include "common/io/byte_source.h"

namespace cairn::cli {

// A checkpoint named on the command line, be it a file or a ref.
struct DiffSource {
  DiffSide side;
  std::string label;     // For people who look for it later: the shown ref, or the file's name.
  std::string identity;  // What tells one content from another, without reading it.
  std::string uid_ref;   // Of refs.
};
absl::StatusOr<DiffSource> OpenDiffSource(CommandContext& context, const std::string& text);

// Of two sources only what `patterns` choose. USAGE for patterns that do not parse or match nothing in either.
absl::Status SelectInBoth(const std::vector<std::string>& patterns, DiffSource& first, DiffSource& second);
// The error of cairn::SelectInBoth, here or in a daemon, as the user's.
absl::Status AsSelectUsage(const absl::Status& status);

// The bytes of a diff file: a file, or the asset that a ref stores. Null if it is no exact diff, but another checkpoint.
absl::StatusOr<std::unique_ptr<ByteSource>> OpenDiffBytes(CommandContext& context, const std::string& text,
                                                          std::string* identity);

// Where a command writes to: a file, unless the argument can only be meant as NAME@STEP.
bool IsRefTarget(const std::string& text);

// What a command is about, if a daemon has all of it.
struct DaemonPlaces {
  std::vector<client::ConvertPlace> sources;
  client::ConvertPlace output;  // Neither ref nor path if there is none.
  bool files = false;           // Some are files on its machine, which this end cannot read.
};
// Nothing if a source, or the output (which may be empty), is a file here. USAGE for a mixture of files here and files there.
absl::StatusOr<std::optional<DaemonPlaces>> FindDaemonPlaces(const std::vector<std::string>& sources, const std::string& output);

// "ref::NAME@STEP" without its prefix, any other text as it is: for what is read or written by this end.
std::string WithoutRefPrefix(const std::string& text);

// A name that was meant as a file's, and is none's, would otherwise be an error about a daemon.
absl::Status TakenForRef(const absl::Status& status, const std::string& text);

}  // namespace cairn::cli
