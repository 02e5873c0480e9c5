#include <algorithm>
#include <memory>
#include <optional>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command_set.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/remote_convert.h"
#include "client/cli/transfer.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

struct Options {
  std::string source;
  std::string destination;
  SourceOptions from;
  TargetOptions to;
};

absl::Status Run(CommandContext& context, const Options& options) {
  if (DaemonPlace(options.source).has_value() || DaemonPlace(options.destination).has_value()) {
    return RunRemoteConvert(context, options.source, options.destination, options.from, options.to);
  }
  CAIRN_ASSIGN_OR_RETURN(TargetFile target, ResolveTarget(options.destination, options.to));
  CAIRN_ASSIGN_OR_RETURN(const std::optional<Dtype> dtype,
                         DtypeForTarget(options.from.dtype, *target.format));
  CAIRN_ASSIGN_OR_RETURN(RecipeRequest request, MakeRecipeRequest(options.from, dtype));
  request.weight_marks = target.format->traits().values;
  CAIRN_ASSIGN_OR_RETURN(const OpenedFile source, OpenLocalFile(options.source, context.cancellation));
  CAIRN_RETURN_IF_ERROR(CheckOptimizerOptions(options.from, source.spec));
  CAIRN_RETURN_IF_ERROR(ReportLeftOut(context, options.from, source.reader->index()));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Recipe> recipe, MakeRecipe(context, *source.reader, source.place.tree.get(), request));
  const ConvertPlan& plan = recipe->plan();
  NoteDefaultCast(context, options.from,
                  std::count_if(plan.steps.begin(), plan.steps.end(),
                                [](const auto& step) { return step.from != step.to; }));

  std::string state;
  if (options.to.resume) {
    CAIRN_ASSIGN_OR_RETURN(state, SourceIdentity(source));
  }
  SetResume(context, options.to, request, absl::StrCat(options.source, "\n", state), target);
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer, CreateTarget(context, target));
  CAIRN_ASSIGN_OR_RETURN(
      const TransferResult result,
      RunTransfer(context, absl::StrCat("convert ", target.path), recipe->reader(), plan, *writer,
                  target.options.drop_unsupported));
  if (context.console.json()) {
    nlohmann::json report = {{"source", source.shown},
                             {"source_format", std::string(source.spec.format->name())},
                             {"path", target.path},
                             {"format", std::string(target.format->name())},
                             {"entries", result.entries},
                             {"bytes", result.bytes},
                             {"bytes_resumed", result.bytes_skipped},
                             {"seconds", absl::ToDoubleSeconds(result.elapsed)}};
    DescribeRecipe(*recipe, report);
    context.console.PrintJson(report);
  } else {
    context.console.PrintLine(
        absl::StrCat(target.path, "  ", std::string(target.format->name()), "  ", Describe(result)));
  }
  return absl::OkStatus();
}

}  // namespace

void AddConvertCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "convert", "Convert a checkpoint, from file to file here, or where a daemon is.",
      {"cairn convert model.safetensors params::streaming_params            # floats become bfloat16",
       "cairn convert model.safetensors params::streaming_params --dtype keep",
       "cairn convert trainstate::streaming_train_state_1000 params::streaming_params_1000 --weights-only",
       "cairn convert trainstate_params::streaming_train_state_1000 model.safetensors --dtype fp16",
       "cairn convert params::streaming_params model/ --to safetensors --max-shard-size 5GB",
       "cairn convert ref::team/run@1000 server::/exports/run.safetensors    # runs in the daemon",
       "cairn convert lightning.ckpt model.safetensors --weights-only --exclude '**/*.inv_freq'",
       "cairn convert Llama-3-8B/ params::llama --map hf-llama:easylm",
       "cairn convert train_state/ model.safetensors --weights-only --resume     # again, if it was interrupted"},
      [options](CommandContext& context) { return Run(context, *options); });
  command->add_option("SRC", options->source, "File or folder, PATH or PREFIX::PATH; the format is detected. Of a daemon: ref::REF or server::PATH")
      ->required();
  command->add_option("DST", options->destination, "What to write, PATH or PREFIX::PATH. In a daemon: ref::NAME@STEP or server::PATH")->required();
  AddSourceOptions(*command, options->from,
                   "Cast float tensors; keep leaves them [bf16 if the target is easylm, else keep]");
  AddTargetOptions(*command, options->to);
}

}  // namespace cairn::cli
