#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/command_set.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/remote_convert.h"
#include "client/cli/text.h"
#include "client/cli/transfer.h"
#include "client/transfer/local_export.h"
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
};

absl::Status Run(CommandContext& context, const Options& options) {
  if (const absl::Status ref = Ref::Parse(options.ref).status(); !ref.ok()) return UsageError(ref.message());
  client::ConvertSpec spec;
  spec.source.ref = options.ref;
  // A prefix is for the daemon to understand, which may know more formats than this program.
  spec.target = *DaemonPlace(absl::StrCat("server::", options.destination));
  if (spec.target.path.empty()) return UsageError(absl::StrCat("\"", options.destination, "\": expected a path"));
  if (IsUrl(spec.target.path)) {
    return UsageError("export writes files of this machine; use cairn pull for s3:// that is written from here, or cairn convert with server:: for one that the daemon writes");
  }
  CAIRN_RETURN_IF_ERROR(FillConvertSpec(options.from, options.to, spec));
  if (spec.resume) return UsageError("--resume: an export waits for the daemon and goes on by itself, and begins anew if this program ends; pull can be resumed");
  if (spec.assets_beside) return UsageError("--assets-beside: let the path end in '/' for a folder, which holds them, or use pull");
  const std::string path = spec.target.path;
  SinkTreeOptions sink;
  sink.overwrite = options.to.overwrite;
  // First of all, since it says at once if something is in the way.
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<transfer::LocalExport> files, transfer::LocalExport::Create(path, sink));

  CAIRN_ASSIGN_OR_RETURN(const client::Client client, ConnectForTransfer(context));
  std::unique_ptr<ProgressMeter> meter = context.console.StartProgress(absl::StrCat("export ", options.ref));
  const absl::StatusOr<client::ConversionResult> done = client.Export(spec, *files, [&](const client::ConversionProgress& progress) {
    meter->Update({progress.bytes_done, progress.bytes_total, 0});
  });
  TransferResult result;
  result.elapsed = meter->elapsed();
  meter.reset();
  CAIRN_RETURN_IF_ERROR(done.status());
  NoteConversion(context, *done);
  result.entries = done->progress.entries_done;
  result.bytes = done->progress.bytes_done;
  if (context.console.json()) {
    nlohmann::json report = {{"path", path},
                             {"format", done->target_format},
                             {"entries", result.entries},
                             {"bytes", result.bytes},
                             {"seconds", absl::ToDoubleSeconds(result.elapsed)}};
    if (done->checkpoint.has_value()) report["checkpoint"] = CheckpointToJson(*done->checkpoint);
    DescribeConversion(*done, report);
    context.console.PrintJson(report);
  } else {
    context.console.PrintLine(absl::StrCat(SafeText(path), "  ", done->target_format, "  ", Describe(result)));
  }
  return absl::OkStatus();
}

}  // namespace

void AddExportCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "export", "Load a checkpoint into a file that the daemon makes.",
      {"cairn export team/run@best model.safetensors", "cairn export team/run model/ --to safetensors --max-shard-size 5GB --dtype bf16",
       "cairn export team/run@1000 params::streaming_params_1000 --weights-only"},
      [options](CommandContext& context) { return Run(context, *options); });
  command->footer(absl::StrCat(command->get_footer(),
                               "\n\nLike pull, but the work is done by the daemon, which may know formats that this program does not. Where this program\n"
                               "knows the format, pull spares a daemon that serves many."));
  command->add_option("REF", options->ref, "NAME@STEP, NAME@TAG or NAME (the latest step)")->required();
  command->add_option("DST", options->destination, "What to write here, PATH or PREFIX::PATH")->required();
  AddSourceOptions(*command, options->from, "Float tensors arrive as this, cast by the server [bf16 if the target is easylm, else keep]");
  AddTargetOptions(*command, options->to);
}

}  // namespace cairn::cli
