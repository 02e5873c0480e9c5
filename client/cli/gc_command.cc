#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/text.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

struct Options {
  bool dry_run = false;
};

absl::Status Run(CommandContext& context, const Options& options) {
  CAIRN_ASSIGN_OR_RETURN(const client::Client client, Connect(context));
  CAIRN_ASSIGN_OR_RETURN(const client::GarbageReport report, client.CollectGarbage(options.dry_run));
  if (context.console.json()) {
    context.console.PrintJson({{"dry_run", options.dry_run},
                               {"purged_checkpoints", report.purged_checkpoints},
                               {"expired_sessions", report.expired_sessions},
                               {"deleted_objects", report.deleted_objects},
                               {"deleted_bytes", report.deleted_bytes}});
    return absl::OkStatus();
  }
  context.console.PrintLine(
      absl::StrCat(options.dry_run ? "would free " : "freed ", FormatBytes(report.deleted_bytes), ": ",
                   FormatCount(report.deleted_objects), " objects, ", FormatCount(report.purged_checkpoints),
                   " deleted checkpoints, ", FormatCount(report.expired_sessions), " expired sessions"));
  return absl::OkStatus();
}

}  // namespace

void AddGcCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      commands.Add("gc", "Free what nothing needs any more.", {"cairn gc --dry-run", "cairn gc"},
                   [options](CommandContext& context) { return Run(context, *options); });
  command->add_flag("--dry-run", options->dry_run, "Only count");
}

}  // namespace cairn::cli
