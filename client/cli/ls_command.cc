#include <algorithm>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/table.h"
#include "client/cli/text.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

struct Options {
  std::string name;
};

// "team/run" is that name and what lies below it; "team/" only what lies below.
absl::StatusOr<std::vector<client::CheckpointInfo>> List(const client::Client& client,
                                                         const std::string& name) {
  client::ListCheckpointsSpec spec;
  spec.name_prefix = name;
  CAIRN_ASSIGN_OR_RETURN(std::vector<client::CheckpointInfo> found, client.ListCheckpoints(spec));
  if (name.empty() || absl::EndsWith(name, "/")) return found;
  std::erase_if(found, [&](const client::CheckpointInfo& checkpoint) {
    return checkpoint.name != name && !absl::StartsWith(checkpoint.name, absl::StrCat(name, "/"));
  });
  return found;
}

absl::Status Run(CommandContext& context, const Options& options) {
  CAIRN_ASSIGN_OR_RETURN(const client::Client client, Connect(context));
  CAIRN_ASSIGN_OR_RETURN(const std::vector<client::CheckpointInfo> found, List(client, options.name));
  if (found.empty() && !options.name.empty()) {
    return absl::NotFoundError(absl::StrCat("no checkpoint of name \"", options.name, "\" or below it"));
  }
  if (context.console.json()) {
    for (const client::CheckpointInfo& checkpoint : found)
      context.console.PrintJson(CheckpointToJson(checkpoint));
    return absl::OkStatus();
  }
  if (found.empty()) {
    context.console.Note("no checkpoints yet");
    return absl::OkStatus();
  }
  Table table({{"REF"},
               {"SIZE", Table::Align::kRight},
               {"NEW", Table::Align::kRight},
               {"AGE", Table::Align::kRight},
               {"TAGS"},
               {"BY"}});
  const absl::Time now = Clock::Real().Now();
  for (const client::CheckpointInfo& checkpoint : found) {
    table.AddRow({checkpoint.ShownRef(), FormatBytes(checkpoint.logical_bytes),
                  FormatBytes(checkpoint.new_bytes), FormatAge(now - checkpoint.commit_time),
                  absl::StrJoin(checkpoint.tags, ","), checkpoint.created_by});
  }
  table.Print(context.console.out());
  return absl::OkStatus();
}

}  // namespace

void AddLsCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add("ls", "List checkpoints.",
                                   {"cairn ls", "cairn ls team/run", "cairn ls team/ --json | jq -r .ref"},
                                   [options](CommandContext& context) { return Run(context, *options); });
  command->add_option("NAME", options->name, "A name with what lies below it, or a prefix that ends in /");
}

}  // namespace cairn::cli
