#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/types.h"
#include "client/cli/checkpoint_target.h"
#include "client/cli/command_set.h"
#include "client/cli/diff_source.h"
#include "client/cli/transfer.h"

namespace cairn::cli {

// `cairn diff` and `cairn recover` where the daemon has everything: it works there, and what comes here is how it went.
// UNIMPLEMENTED from a daemon that does not know how.

struct RemoteDiffRequest {
  std::string verb;                 // "diff", "recover": for the progress bar and the session key.
  std::vector<std::string> sources;  // As given: base and target, or base and diff.
  DaemonPlaces places;
  std::string destination;  // As given; empty for a report.
  std::string mode;
  std::string dtype;
  std::vector<std::string> select;
  TargetOptions to;
};

struct RemoteReport {
  client::DiffResult result;
  std::string title;  // "BASE -> TARGET".
};
absl::StatusOr<RemoteReport> ReportRemotely(CommandContext& context, RemoteDiffRequest request, double absolute, double relative);

struct RemoteDiff {
  client::DiffResult result;
  WrittenTarget written;
};
absl::StatusOr<RemoteDiff> DiffRemotely(CommandContext& context, RemoteDiffRequest request);

struct RemoteRecovery {
  client::RecoverResult result;
  WrittenTarget written;
};
absl::StatusOr<RemoteRecovery> RecoverRemotely(CommandContext& context, RemoteDiffRequest request);

// Says on stderr that the daemon is too old. False, and nothing said, unless that is what the status means and this end can do the
// work itself.
bool FallsBack(CommandContext& context, const absl::Status& status, const DaemonPlaces& places);

}  // namespace cairn::cli
