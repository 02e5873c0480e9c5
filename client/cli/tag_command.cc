#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "common/base/status_macros.h"
#include "common/tensor/ref.h"

namespace cairn::cli {
namespace {

struct Options {
  std::string ref;
  std::string tag;
  bool remove = false;
};

absl::Status Remove(CommandContext& context, const Options& options, const Ref& ref) {
  if (ref.step.has_value() || !ref.tag.empty() || !ref.uid.empty()) {
    return UsageError(
        absl::StrCat("\"", options.ref, "\": expected the name alone; a tag belongs to a name"));
  }
  CAIRN_ASSIGN_OR_RETURN(const client::Client client, Connect(context));
  client::DeleteTagSpec spec;
  spec.name = ref.name;
  spec.tag = options.tag;
  CAIRN_RETURN_IF_ERROR(client.DeleteTag(spec));
  if (context.console.json()) {
    context.console.PrintJson({{"name", ref.name}, {"tag", options.tag}, {"deleted", true}});
  } else {
    context.console.PrintLine(absl::StrCat("removed ", ref.name, "@", options.tag));
  }
  return absl::OkStatus();
}

absl::Status Run(CommandContext& context, const Options& options) {
  const absl::StatusOr<Ref> ref = Ref::Parse(options.ref);
  if (!ref.ok()) return UsageError(ref.status().message());
  if (const absl::Status tag = CheckTagName(options.tag); !tag.ok()) return UsageError(tag.message());
  if (options.remove) return Remove(context, options, *ref);
  CAIRN_ASSIGN_OR_RETURN(const client::Client client, Connect(context));
  client::SetTagSpec spec;
  spec.ref = options.ref;
  spec.tag = options.tag;
  CAIRN_ASSIGN_OR_RETURN(const client::CheckpointInfo checkpoint, client.SetTag(spec));
  if (context.console.json()) {
    context.console.PrintJson(CheckpointToJson(checkpoint));
  } else {
    context.console.PrintLine(absl::StrCat(checkpoint.name, "@", options.tag, " -> ", checkpoint.ShownRef()));
  }
  return absl::OkStatus();
}

}  // namespace

void AddTagCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "tag", "Point a tag at a checkpoint, or remove one.",
      {"cairn tag team/run@1000 best", "cairn tag team/run@best prod", "cairn tag --delete team/run best"},
      [options](CommandContext& context) { return Run(context, *options); });
  command->add_option("REF", options->ref, "The checkpoint; with --delete the name")->required();
  command->add_option("TAG", options->tag, "The tag")->required();
  command->add_flag("--delete", options->remove, "Remove the tag from the name");
}

}  // namespace cairn::cli
