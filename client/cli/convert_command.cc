#include <algorithm>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command_set.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
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
  CAIRN_ASSIGN_OR_RETURN(const TargetFile target, ResolveTarget(options.destination, options.to));
  CAIRN_ASSIGN_OR_RETURN(const std::optional<Dtype> dtype,
                         DtypeForTarget(options.from.dtype, *target.format));
  CAIRN_ASSIGN_OR_RETURN(const OpenedFile source, OpenLocalFile(options.source));
  CAIRN_RETURN_IF_ERROR(CheckOptimizerOptions(options.from, source.spec));
  CAIRN_ASSIGN_OR_RETURN(const PlanOptions plan_options,
                         MakePlanOptions(options.from, dtype, source.reader->index()));
  CAIRN_ASSIGN_OR_RETURN(const ConvertPlan plan, MakeConvertPlan(source.reader->index(), plan_options));
  NoteDefaultCast(context, options.from,
                  std::count_if(plan.steps.begin(), plan.steps.end(),
                                [](const auto& step) { return step.from != step.to; }));

  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer, cairn::CreateTarget(target));
  CAIRN_ASSIGN_OR_RETURN(
      const TransferResult result,
      RunTransfer(context, absl::StrCat("convert ", target.path), *source.reader, plan, *writer, target.options.drop_unsupported));
  if (context.console.json()) {
    context.console.PrintJson({{"source", source.spec.path},
                               {"source_format", std::string(source.spec.format->name())},
                               {"path", target.path},
                               {"format", std::string(target.format->name())},
                               {"entries", result.entries},
                               {"bytes", result.bytes},
                               {"seconds", absl::ToDoubleSeconds(result.elapsed)}});
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
      "convert", "Convert a checkpoint file, without a daemon.",
      {"cairn convert model.safetensors params::streaming_params            # floats become bfloat16",
       "cairn convert model.safetensors params::streaming_params --dtype keep",
       "cairn convert trainstate::streaming_train_state_1000 params::streaming_params_1000 --no-optimizer",
       "cairn convert trainstate_params::streaming_train_state_1000 model.safetensors --dtype fp16",
       "cairn convert params::streaming_params model/ --to safetensors --max-shard-size 5GB"},
      [options](CommandContext& context) { return Run(context, *options); });
  command->add_option("SRC", options->source, "File or folder, PATH or PREFIX::PATH; the format is detected")
      ->required();
  command->add_option("DST", options->destination, "What to write, PATH or PREFIX::PATH")->required();
  AddSourceOptions(*command, options->from,
                   "Cast float tensors; keep leaves them [bf16 if the target is easylm, else keep]");
  AddTargetOptions(*command, options->to);
}

}  // namespace cairn::cli
