#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/types.h"
#include "client/cli/command_set.h"
#include "client/cli/transfer.h"
#include "common/format/format.h"
#include "nlohmann/json_fwd.hpp"

namespace cairn::cli {

// Where a checkpoint that a command has made goes to: a file or, if IsRefTarget(destination), the daemon.
struct TargetRequest {
  std::string verb;  // For the progress bar.
  std::string destination;
  TargetOptions to;
  std::optional<Dtype> float_dtype;
  // Of refs.
  std::string parent;
  std::string identity;  // What the bytes depend on: the same gives the same save session, which goes on where it stopped.
};

struct WrittenTarget {
  std::string path;    // Or the ref.
  std::string format;  // Of files.
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t bytes_skipped = 0;
  absl::Duration elapsed;
  std::optional<client::CheckpointInfo> checkpoint;
};

// USAGE for what does not fit together, before anything is opened.
absl::Status CheckTarget(const TargetRequest& request);

// Writes all of `reader`. Nothing is visible before all of it is.
absl::StatusOr<WrittenTarget> WriteTarget(CommandContext& context, const TargetRequest& request, CheckpointReader& reader);

nlohmann::json TargetToJson(const WrittenTarget& written);
// "PATH  FORMAT  291 entries, 12.6 GiB in 0:11", or the line of the checkpoint.
std::string TargetLine(const WrittenTarget& written);

}  // namespace cairn::cli
