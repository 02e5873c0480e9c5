#include <memory>
#include <optional>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/metadata_option.h"
#include "client/cli/save_ref.h"
#include "client/cli/session_key.h"
#include "client/cli/text.h"
#include "client/cli/transfer.h"
#include "common/base/status_macros.h"
#include "common/convert/planned_reader.h"
#include "common/tensor/ref.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

constexpr absl::string_view kPrevious = "previous";  // As --parent; a checkpoint of that name is previous@latest.

struct Options {
  std::string source;
  std::string ref;
  SourceOptions from;
  std::vector<std::string> metadata;
  std::vector<std::string> tags;
  std::string parent;
  std::string parent_file;
  std::string session_key;
  bool overwrite = false;
  bool keep_session = false;
};

// What --metadata says, over what the file says of itself.
std::map<std::string, std::string> Merged(std::map<std::string, std::string> chosen,
                                          const std::map<std::string, std::string>& found) {
  chosen.insert(found.begin(), found.end());
  return chosen;
}

// What can be said to be wrong before anything is opened.
absl::Status CheckOptions(const Options& options) {
  CAIRN_RETURN_IF_ERROR(ParseTargetRef(options.ref).status());
  CAIRN_RETURN_IF_ERROR(ParseMetadata(options.metadata).status());
  if (const absl::Status parent = Ref::Parse(options.parent).status(); !options.parent.empty() && !parent.ok()) {
    return UsageError(absl::StrCat("--parent: ", parent.message()));
  }
  if (!options.parent_file.empty() && options.parent.empty()) {
    return UsageError("--parent-file: says what the parent holds, so --parent must say which checkpoint that is");
  }
  for (const std::string& tag : options.tags) {
    if (const absl::Status status = CheckTagName(tag); !status.ok()) return UsageError(status.message());
  }
  return absl::OkStatus();
}

absl::StatusOr<client::SaveSpec> MakeSpec(const Options& options, const OpenedFile& file, const RecipeRequest& request,
                                          const CheckpointIndex& target) {
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, ParseTargetRef(options.ref));
  client::SaveSpec spec;
  spec.name = ref.name;
  spec.step = *ref.step;
  spec.overwrite = options.overwrite;
  spec.parent_is_previous = options.parent == kPrevious;
  if (!spec.parent_is_previous) spec.parent = options.parent;
  spec.created_by = WhoIsThis();
  CAIRN_ASSIGN_OR_RETURN(spec.metadata, ParseMetadata(options.metadata));
  spec.session_key = options.session_key;
  if (spec.session_key.empty()) {
    PushIdentity identity;
    identity.ref = ref.ToString();
    identity.source = options.source;
    CAIRN_ASSIGN_OR_RETURN(identity.file_identity, SourceIdentity(file));
    identity.float_dtype = request.float_dtype;
    identity.select = request.select;
    identity.recipe = request.Identity();
    identity.metadata = spec.metadata;
    identity.parent = options.parent;
    identity.overwrite = spec.overwrite;
    spec.session_key = SessionKey(identity);
  }
  spec.metadata = Merged(std::move(spec.metadata), target.metadata);
  return spec;
}

absl::Status Report(CommandContext& context, const SavedRef& pushed, absl::Duration elapsed) {
  if (context.console.json()) {
    context.console.PrintJson({{"checkpoint", CheckpointToJson(pushed.checkpoint)},
                               {"already_there", pushed.was_there},
                               {"bytes_sent", pushed.progress.sent_bytes},
                               {"bytes_sent_raw", pushed.progress.sent_raw_bytes},
                               {"bytes_resumed", pushed.progress.skipped_bytes},
                               {"bytes_deduplicated", pushed.progress.deduplicated_bytes},
                               {"seconds", absl::ToDoubleSeconds(elapsed)}});
    return absl::OkStatus();
  }
  if (pushed.was_there) {
    context.console.Note("this push was done before; nothing was sent");
  } else if (pushed.progress.skipped_bytes > 0) {
    context.console.Note(absl::StrCat(
        "went on with an earlier push: ", FormatBytes(pushed.progress.skipped_bytes), " were there already"));
  }
  std::string line = CheckpointLine(pushed.checkpoint);
  // Where bytes went as deltas, fewer were sent than they stand for.
  if (pushed.progress.sent_bytes < pushed.progress.sent_raw_bytes) {
    absl::StrAppend(&line, "  sent ", FormatBytes(pushed.progress.sent_bytes), " for ", FormatBytes(pushed.progress.sent_raw_bytes));
  }
  context.console.PrintLine(line);
  return absl::OkStatus();
}

absl::Status Run(CommandContext& context, const Options& options) {
  const absl::Time start = Clock::Real().Now();
  CAIRN_ASSIGN_OR_RETURN(const std::optional<Dtype> dtype, ParseDtypeOption(options.from.dtype));
  CAIRN_RETURN_IF_ERROR(CheckOptions(options));
  CAIRN_ASSIGN_OR_RETURN(const RecipeRequest request, MakeRecipeRequest(options.from, dtype));
  CAIRN_ASSIGN_OR_RETURN(const OpenedFile file, OpenLocalFile(options.source, context.cancellation));
  CAIRN_RETURN_IF_ERROR(ReportLeftOut(context, options.from, file.reader->index()));
  CAIRN_RETURN_IF_ERROR(CheckOptimizerOptions(options.from, file.spec));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Recipe> recipe, MakeRecipe(context, *file.reader, file.place.tree.get(), request));
  CAIRN_ASSIGN_OR_RETURN(client::SaveSpec spec, MakeSpec(options, file, request, recipe->plan().target));

  CAIRN_ASSIGN_OR_RETURN(const client::Client client, ConnectForTransfer(context));
  PlannedReader source(recipe->reader(), recipe->plan());
  // What the parent was pushed from becomes entries in the same way.
  std::optional<OpenedFile> parent_file;
  std::unique_ptr<Recipe> parent_recipe;
  std::unique_ptr<PlannedReader> parent;
  if (!options.parent_file.empty()) {
    CAIRN_ASSIGN_OR_RETURN(parent_file, OpenLocalFile(options.parent_file, context.cancellation));
    CAIRN_ASSIGN_OR_RETURN(parent_recipe, MakeRecipe(context, *parent_file->reader, parent_file->place.tree.get(), request));
    parent = std::make_unique<PlannedReader>(parent_recipe->reader(), parent_recipe->plan());
  }
  CAIRN_ASSIGN_OR_RETURN(SavedRef pushed, SaveToRef(context, client, {std::move(spec), options.session_key.empty(), options.keep_session, "push", parent.get()}, source));
  for (const std::string& tag : options.tags) {
    client::SetTagSpec set;
    set.ref = pushed.checkpoint.UidRef();
    set.tag = tag;
    CAIRN_ASSIGN_OR_RETURN(pushed.checkpoint, client.SetTag(set));
  }
  return Report(context, pushed, Clock::Real().Now() - start);
}

}  // namespace

void AddPushCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      commands.Add("push", "Save a file as a checkpoint.",
                   {"cairn push model.safetensors team/run@1000",
                    "cairn push params::streaming_params_1000 team/run@1000 --tag best --metadata loss=1.93",
                    "cairn push trainstate::streaming_train_state_1000 team/run@1000 --weights-only",
                    "cairn push model/ team/run@2000 --parent previous",
                    "cairn push model/ team/run@1000 --dtype bf16 --select '!**/rotary*'",
                    "cairn push step2.safetensors team/run@2 --parent team/run@1 --parent-file step1.safetensors"},
                   [options](CommandContext& context) { return Run(context, *options); });
  command->add_option("SRC", options->source, "File or folder, PATH or PREFIX::PATH; the format is detected")
      ->required();
  command->add_option("REF", options->ref, "NAME@STEP to save under")->required();
  AddSourceOptions(*command, options->from, "Cast float tensors before they are sent [keep]");
  command->add_flag("--overwrite", options->overwrite, "Replace the checkpoint that is there, atomically");
  command->add_option("--metadata", options->metadata, "Text to keep with the checkpoint; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("--tag", options->tags, "Tag to point at the checkpoint; may be repeated")
      ->type_name("TAG")
      ->allow_extra_args(false);
  command->add_option("--parent", options->parent,
                      "The checkpoint that this one came from, or \"previous\" for the highest step of the name below it: "
                      "what is nearly equal to that is stored as the difference")
      ->type_name("REF|previous");
  command->add_option("--parent-file", options->parent_file,
                      "A file that holds what --parent does, as PATH or PREFIX::PATH: only what is different is sent")
      ->type_name("FILE");
  command
      ->add_option("--session-key", options->session_key,
                   "Key under which a repeated push resumes [made from ref, file and options]")
      ->type_name("KEY");
  command->add_flag("--keep-session", options->keep_session,
                    "On Ctrl-C keep what was sent, so that the same command goes on from there");
}

}  // namespace cairn::cli
