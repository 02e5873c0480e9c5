#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/place.h"
#include "client/cli/text.h"
#include "client/cli/transfer.h"
#include "client/transfer/held_checkpoint.h"
#include "client/transfer/remote_reader.h"
#include "common/base/status_macros.h"
#include "common/tensor/ref.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

struct Options {
  std::string ref;
  std::string destination;
  SourceOptions from;
  TargetOptions to;
  std::string have;
};

// What --have says.
struct Have {
  std::string ref;
  std::shared_ptr<client::HeldBytes> held;
};
absl::StatusOr<std::optional<Have>> OpenHave(const CommandContext& context, const Options& options) {
  if (options.have.empty()) return std::optional<Have>();
  const std::pair<std::string, std::string> parts = absl::StrSplit(options.have, absl::MaxSplits('=', 1));
  if (parts.second.empty()) {
    return UsageError(absl::StrCat("--have: expected REF=FILE, a checkpoint and a file that holds it, found \"", options.have, "\""));
  }
  if (const absl::Status ref = Ref::Parse(parts.first).status(); !ref.ok()) {
    return UsageError(absl::StrCat("--have: ", ref.message()));
  }
  CAIRN_ASSIGN_OR_RETURN(OpenedFile file, OpenLocalFile(parts.second, context.cancellation));
  return std::optional<Have>(Have{parts.first, std::make_shared<transfer::HeldCheckpoint>(std::move(file.reader), options.to.separator)});
}

absl::Status Run(CommandContext& context, const Options& options) {
  if (const absl::Status ref = Ref::Parse(options.ref).status(); !ref.ok()) return UsageError(ref.message());
  CAIRN_ASSIGN_OR_RETURN(TargetFile target, ResolveTarget(options.destination, options.to));
  CAIRN_ASSIGN_OR_RETURN(const std::optional<Dtype> dtype,
                         DtypeForTarget(options.from.dtype, *target.format));
  CAIRN_ASSIGN_OR_RETURN(RecipeRequest request, MakeRecipeRequest(options.from, std::nullopt));
  request.weight_marks = target.format->traits().values;
  // First of all, since it says at once if something is in the way.
  std::unique_ptr<CheckpointWriter> writer;
  if (!options.to.resume) {
    SetResume(context, options.to, request, "", target);
    CAIRN_ASSIGN_OR_RETURN(writer, CreateTarget(context, target));
  }

  CAIRN_ASSIGN_OR_RETURN(std::optional<Have> have, OpenHave(context, options));
  CAIRN_ASSIGN_OR_RETURN(client::Client client, ConnectForTransfer(context));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<transfer::RemoteReader> source,
                         transfer::RemoteReader::Open(client, options.ref, dtype));
  if (have.has_value()) {
    // Once and for all: of several streams each would ask what the ref means.
    CAIRN_ASSIGN_OR_RETURN(const client::CheckpointInfo held, client.GetCheckpoint(have->ref));
    source->SetHave(held.UidRef(), have->held);
  }
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Recipe> recipe, MakeRecipe(context, *source, nullptr, request));
  if (options.to.resume) {
    const std::string dtype_name(dtype.has_value() ? DtypeName(*dtype) : "keep");
    SetResume(context, options.to, request, absl::StrCat("uid:", source->checkpoint().uid, " ", dtype_name), target);
    CAIRN_ASSIGN_OR_RETURN(writer, CreateTarget(context, target));
  }
  // The server casts, so the plan itself casts nothing.
  NoteDefaultCast(context, options.from,
                  std::count_if(recipe->chosen().steps.begin(), recipe->chosen().steps.end(),
                                [&](const auto& step) { return source->IsCast(step.source_entry); }));

  const std::string label = absl::StrCat("pull ", source->checkpoint().ShownRef());
  CAIRN_ASSIGN_OR_RETURN(const TransferResult result, RunTransfer(context, label, recipe->reader(), recipe->plan(), *writer, target.options.drop_unsupported));
  if (context.console.json()) {
    nlohmann::json report = {{"checkpoint", CheckpointToJson(source->checkpoint())},
                             {"path", target.path},
                             {"format", std::string(target.format->name())},
                             {"entries", result.entries},
                             {"bytes", result.bytes},
                             {"bytes_resumed", result.bytes_skipped},
                             {"bytes_received", source->bytes_received()},
                             {"seconds", absl::ToDoubleSeconds(result.elapsed)}};
    DescribeRecipe(*recipe, report);
    context.console.PrintJson(report);
  } else {
    std::string line = absl::StrCat(target.path, "  ", target.format->name(), "  ", Describe(result));
    if (have.has_value()) absl::StrAppend(&line, "  received ", FormatBytes(source->bytes_received()));
    context.console.PrintLine(line);
  }
  return absl::OkStatus();
}

}  // namespace

void AddPullCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "pull", "Load a checkpoint into a file.",
      {"cairn pull team/run@best model.safetensors", "cairn pull team/run@1000 params::streaming_params_1000",
       "cairn pull team/run model/ --to safetensors --max-shard-size 5GB --dtype bf16",
       "cairn pull team/run@1000 embeddings.safetensors --select '**/wte/*'",
       "cairn pull team/run@2 step2.safetensors --have team/run@1=step1.safetensors"},
      [options](CommandContext& context) { return Run(context, *options); });
  command->add_option("REF", options->ref, "NAME@STEP, NAME@TAG or NAME (the latest step)")->required();
  command->add_option("DST", options->destination, "What to write, PATH or PREFIX::PATH")->required();
  AddSourceOptions(
      *command, options->from,
      "Float tensors arrive as this, cast by the server [bf16 if the target is easylm, else keep]");
  AddTargetOptions(*command, options->to);
  command->add_option("--have", options->have,
                      "A checkpoint, and a file that holds it as this pull would write it: only what is different is sent")
      ->type_name("REF=FILE");
}

}  // namespace cairn::cli
