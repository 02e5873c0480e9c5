#include <algorithm>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/text.h"
#include "common/base/status_macros.h"
#include "common/tensor/ref.h"

namespace cairn::cli {
namespace {

struct Options {
  std::vector<std::string> refs;
  bool yes = false;
};

absl::Status Run(CommandContext& context, const Options& options) {
  for (const std::string& ref : options.refs) {
    if (const absl::Status status = Ref::Parse(ref).status(); !status.ok())
      return UsageError(status.message());
  }
  if (!options.yes && !context.console.can_ask()) {
    return UsageError("no terminal to ask on: --yes says that the checkpoints shall be deleted");
  }
  CAIRN_ASSIGN_OR_RETURN(const client::Client client, Connect(context));
  // All are looked up before any goes, and what was shown is what is deleted even if a tag moves meanwhile.
  std::vector<client::CheckpointInfo> doomed;
  for (const std::string& ref : options.refs) {
    CAIRN_ASSIGN_OR_RETURN(client::CheckpointInfo checkpoint, client.GetCheckpoint(ref));
    // Two refs may mean one checkpoint.
    const bool again = std::any_of(doomed.begin(), doomed.end(),
                                   [&](const auto& other) { return other.uid == checkpoint.uid; });
    if (!again) doomed.push_back(std::move(checkpoint));
  }
  for (const client::CheckpointInfo& checkpoint : doomed) {
    if (!options.yes) {
      const bool confirmed = context.console.Confirm(
          absl::StrCat("delete ", checkpoint.ShownRef(), " (", FormatBytes(checkpoint.logical_bytes), ")?"));
      CAIRN_RETURN_IF_ERROR(context.cancellation.Check());
      if (!confirmed) continue;
    }
    CAIRN_RETURN_IF_ERROR(client.DeleteCheckpoint(checkpoint.UidRef(), /*allow_missing=*/true).status());
    if (context.console.json()) {
      context.console.PrintJson(CheckpointToJson(checkpoint));
    } else {
      context.console.PrintLine(absl::StrCat("deleted ", SafeText(checkpoint.ShownRef())));
    }
  }
  return absl::OkStatus();
}

}  // namespace

void AddRmCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add("rm", "Delete checkpoints.",
                                   {"cairn rm team/run@1000", "cairn rm team/run@1000 team/run@2000 --yes"},
                                   [options](CommandContext& context) { return Run(context, *options); });
  command->add_option("REF", options->refs, "The checkpoints")->required();
  command->add_flag("-y,--yes", options->yes, "Do not ask");
}

}  // namespace cairn::cli
