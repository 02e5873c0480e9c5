#include <algorithm>
#include <memory>
#include <optional>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command_set.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/map_options.h"
#include "client/cli/remote_convert.h"
#include "client/cli/transfer.h"
#include "common/base/status_macros.h"
#include "common/convert/planned_reader.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

struct Options {
  std::string source;
  std::string destination;
  SourceOptions from;
  TargetOptions to;
  MapOptions map;
};

absl::Status Run(CommandContext& context, const Options& options) {
  if (DaemonPlace(options.source).has_value() || DaemonPlace(options.destination).has_value()) {
    if (!options.map.map.empty()) return UsageError("--map: not for conversions that run in the daemon");
    return RunRemoteConvert(context, options.source, options.destination, options.from, options.to);
  }
  CAIRN_ASSIGN_OR_RETURN(const TargetFile target, ResolveTarget(options.destination, options.to));
  CAIRN_ASSIGN_OR_RETURN(const std::optional<Dtype> dtype,
                         DtypeForTarget(options.from.dtype, *target.format));
  CAIRN_ASSIGN_OR_RETURN(const OpenedFile source, OpenLocalFile(options.source));
  CAIRN_RETURN_IF_ERROR(CheckOptimizerOptions(options.from, source.spec));
  CAIRN_RETURN_IF_ERROR(ReportLeftOut(context, options.from, source.reader->index()));
  CAIRN_ASSIGN_OR_RETURN(PlanOptions plan_options, MakePlanOptions(options.from, dtype, source.reader->index()));
  // With a map: choose entries by the source's names, rename, and cast what has come out.
  CheckpointReader* reader = source.reader.get();
  ConvertPlan chosen;
  std::optional<PlannedReader> chosen_reader;
  std::unique_ptr<Mapping> mapping;
  if (!options.map.map.empty()) {
    plan_options.float_dtype = std::nullopt;
    CAIRN_ASSIGN_OR_RETURN(chosen, MakeConvertPlan(source.reader->index(), plan_options));
    chosen_reader.emplace(*source.reader, chosen);
    CAIRN_ASSIGN_OR_RETURN(mapping, MakeMapping(*chosen_reader, source.spec.path, options.map));
    NoteMapping(context, *mapping);
    reader = &mapping->reader();
    plan_options = PlanOptions{.float_dtype = dtype};
  }
  CAIRN_ASSIGN_OR_RETURN(const ConvertPlan plan, MakeConvertPlan(reader->index(), plan_options));
  NoteDefaultCast(context, options.from,
                  std::count_if(plan.steps.begin(), plan.steps.end(),
                                [](const auto& step) { return step.from != step.to; }));

  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer, cairn::CreateTarget(target));
  CAIRN_ASSIGN_OR_RETURN(
      const TransferResult result,
      RunTransfer(context, absl::StrCat("convert ", target.path), *reader, plan, *writer,
                  target.options.drop_unsupported));
  if (context.console.json()) {
    nlohmann::json report = {{"source", source.spec.path},
                             {"source_format", std::string(source.spec.format->name())},
                             {"path", target.path},
                             {"format", std::string(target.format->name())},
                             {"entries", result.entries},
                             {"bytes", result.bytes},
                             {"seconds", absl::ToDoubleSeconds(result.elapsed)}};
    if (mapping != nullptr) {
      report["map"] = mapping->Describe();
      report["left_out"] = mapping->plan().dropped;
    }
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
       "cairn convert trainstate::streaming_train_state_1000 params::streaming_params_1000 --no-optimizer",
       "cairn convert trainstate_params::streaming_train_state_1000 model.safetensors --dtype fp16",
       "cairn convert params::streaming_params model/ --to safetensors --max-shard-size 5GB",
       "cairn convert ref::team/run@1000 server::/exports/run.safetensors    # runs in the daemon",
       "cairn convert Llama-3-8B/ params::llama --map hf-llama:easylm"},
      [options](CommandContext& context) { return Run(context, *options); });
  command->add_option("SRC", options->source, "File or folder, PATH or PREFIX::PATH; the format is detected. Of a daemon: ref::REF or server::PATH")
      ->required();
  command->add_option("DST", options->destination, "What to write, PATH or PREFIX::PATH. In a daemon: ref::NAME@STEP or server::PATH")->required();
  AddSourceOptions(*command, options->from,
                   "Cast float tensors; keep leaves them [bf16 if the target is easylm, else keep]");
  AddTargetOptions(*command, options->to);
  AddMapOptions(*command, options->map);
}

}  // namespace cairn::cli
