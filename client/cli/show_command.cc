#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/index_output.h"
#include "client/cli/local_file.h"
#include "client/transfer/remote_reader.h"
#include "client/cli/text.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

struct Options {
  std::string what;
  std::vector<std::string> patterns;
  bool values = false;
};

absl::Status ShowFile(CommandContext& context, const Options& options) {
  CAIRN_ASSIGN_OR_RETURN(const OpenedFile file, OpenLocalFile(options.what, context.cancellation));
  const std::string format(file.spec.format->name());
  IndexHeading heading;
  heading.rows = {{"file", file.shown}, {"format", format}};
  heading.fields = {{"path", file.shown}, {"format", format}};
  CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> shown,
                         SelectEntries(file.reader->index(), options.patterns));
  return PrintIndex(context, heading, *file.reader, shown, options.values);
}

absl::Status ShowRef(CommandContext& context, const Options& options) {
  CAIRN_RETURN_IF_ERROR(CheckRefArgument(options.what));
  CAIRN_ASSIGN_OR_RETURN(const client::Client client, Connect(context));
  const absl::StatusOr<std::unique_ptr<transfer::RemoteReader>> opened =
      transfer::RemoteReader::Open(client, options.what, std::nullopt);
  if (!opened.ok()) return NorAFile(opened.status(), options.what);
  transfer::RemoteReader& reader = **opened;
  const client::CheckpointInfo& checkpoint = reader.checkpoint();
  IndexHeading heading;
  heading.rows = {{"ref", checkpoint.ShownRef()},
                  {"uid", checkpoint.uid},
                  {"saved", absl::StrCat(FormatUtc(checkpoint.commit_time), " by ", checkpoint.created_by)},
                  {"tags", absl::StrJoin(checkpoint.tags, ", ")},
                  {"parent", checkpoint.parent},
                  {"new bytes", absl::StrCat(FormatBytes(checkpoint.new_bytes))}};
  heading.fields = CheckpointToJson(checkpoint);
  CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> shown, SelectEntries(reader.index(), options.patterns));
  return PrintIndex(context, heading, reader, shown, options.values);
}

}  // namespace

void AddShowCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add("show", "Show what a checkpoint or a file holds.",
                                   {"cairn show team/run@best", "cairn show team/run@1000 'params/**/kernel'",
                                    "cairn show model.safetensors '**' --values",
                                    "cairn show trainstate::streaming_train_state_1000 --json",
                                    "cairn show lightning.ckpt                     # where are the weights?"},
                                   [options](CommandContext& context) {
                                     return IsFileArgument(options->what) ? ShowFile(context, *options)
                                                                          : ShowRef(context, *options);
                                   });
  command->add_option("REF|FILE", options->what, "A ref; or a file: PREFIX::PATH, or a path that exists")
      ->required();
  command->add_option("PATTERN", options->patterns,
                      "Only entries that match: paths, prefixes, globs, !PATTERN");
  command->add_flag("--values", options->values, "The first values of each tensor too");
}

}  // namespace cairn::cli
