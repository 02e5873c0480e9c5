#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/index_output.h"
#include "client/cli/local_file.h"
#include "client/cli/remote_reader.h"
#include "client/cli/text.h"
#include "common/base/status_macros.h"
#include "common/tensor/ref.h"

namespace cairn::cli {
namespace {

struct Options {
  std::string what;
  std::vector<std::string> patterns;
  bool values = false;
};

absl::Status ShowFile(CommandContext& context, const Options& options) {
  CAIRN_ASSIGN_OR_RETURN(const OpenedFile file, OpenLocalFile(options.what));
  const std::string format(file.spec.format->name());
  IndexHeading heading;
  heading.rows = {{"file", file.spec.path}, {"format", format}};
  heading.fields = {{"path", file.spec.path}, {"format", format}};
  CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> shown,
                         SelectEntries(file.reader->index(), options.patterns));
  return PrintIndex(context, heading, *file.reader, shown, options.values);
}

absl::Status ShowRef(CommandContext& context, const Options& options) {
  if (const absl::Status ref = Ref::Parse(options.what).status(); !ref.ok()) {
    return UsageError(absl::StrCat("\"", options.what, "\" is no file, and no ref: ", ref.message()));
  }
  CAIRN_ASSIGN_OR_RETURN(const client::Client client, Connect(context));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<RemoteReader> reader,
                         RemoteReader::Open(client, options.what, std::nullopt));
  const client::CheckpointInfo& checkpoint = reader->checkpoint();
  IndexHeading heading;
  heading.rows = {{"ref", checkpoint.ShownRef()},
                  {"uid", checkpoint.uid},
                  {"saved", absl::StrCat(FormatUtc(checkpoint.commit_time), " by ", checkpoint.created_by)},
                  {"tags", absl::StrJoin(checkpoint.tags, ", ")},
                  {"parent", checkpoint.parent},
                  {"new bytes", absl::StrCat(FormatBytes(checkpoint.new_bytes))}};
  heading.fields = CheckpointToJson(checkpoint);
  CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> shown, SelectEntries(reader->index(), options.patterns));
  return PrintIndex(context, heading, *reader, shown, options.values);
}

}  // namespace

void AddShowCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add("show", "Show what a checkpoint or a file holds.",
                                   {"cairn show team/run@best", "cairn show team/run@1000 'params/**/kernel'",
                                    "cairn show model.safetensors '**' --values",
                                    "cairn show trainstate::streaming_train_state_1000 --json"},
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
