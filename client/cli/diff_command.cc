#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/checkpoint_target.h"
#include "client/cli/command_set.h"
#include "client/cli/diff_report.h"
#include "client/cli/diff_source.h"
#include "client/cli/exit_code.h"
#include "client/cli/heat_map.h"
#include "client/cli/local_file.h"
#include "client/cli/place.h"
#include "client/cli/remote_diff.h"
#include "client/cli/text.h"
#include "client/transfer/diff_entries.h"
#include "common/base/status_macros.h"
#include "common/diff/arithmetic.h"
#include "common/diff/compare.h"
#include "common/diff/diff_asset.h"
#include "common/diff/exact_diff.h"
#include "common/diff/selected_reader.h"
#include "common/format/cairndiff/cairndiff_format.h"
#include "common/io/posix_file.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

struct Options {
  std::string base;
  std::string target;
  std::vector<std::string> select;
  // A report.
  std::vector<std::string> only;
  std::optional<double> absolute;
  std::optional<double> relative;
  bool summary = false;
  std::string plot;
  // A diff.
  std::string output;
  std::string mode;
  std::string dtype;
  TargetOptions to;

  bool exact() const { return mode.empty() || mode == "exact"; }
};

absl::Status CheckOptions(const Options& options) {
  CAIRN_RETURN_IF_ERROR(CheckOnly(options.only));
  for (const std::optional<double>& tolerance : {options.absolute, options.relative}) {
    if (tolerance && !(*tolerance >= 0)) return UsageError("--atol, --rtol: expected a number that is not negative");
  }
  if (options.output.empty()) {
    if (!options.mode.empty()) return UsageError("--mode: says what --output DST becomes, and there is no --output");
    if (!options.dtype.empty()) return UsageError("--dtype: of an arithmetic diff, and there is no --output");
    return absl::OkStatus();
  }
  if (!options.plot.empty() || options.summary || !options.only.empty() || options.absolute || options.relative) {
    return UsageError("--output writes a diff; --plot, --summary, --only, --atol and --rtol belong to a report: run it twice");
  }
  if (options.exact() && !options.dtype.empty()) {
    return UsageError("--dtype: an exact diff keeps every bit; --mode arithmetic casts");
  }
  return absl::OkStatus();
}

absl::Status WritePlot(const Options& options, const LayerTable& layers, const std::string& title) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSink> sink,
                         CreateFileSink(options.plot, {.overwrite = options.to.overwrite}));
  CAIRN_RETURN_IF_ERROR(sink->Append(HeatMapSvg(layers, title)));
  return sink->Close();
}

DiffReportOptions ReportOptions(const Options& options) {
  return {options.only, options.summary, options.absolute || options.relative};
}

absl::Status FinishReport(CommandContext& context, const Options& options, DiffReport& report, LayerTable& layers, const std::string& title) {
  report.Finish(layers);
  if (!options.plot.empty()) CAIRN_RETURN_IF_ERROR(WritePlot(options, layers, title));
  if (report.different()) context.exit_code = kExitDifferent;
  return absl::OkStatus();
}

absl::Status Report(CommandContext& context, const Options& options, DiffSource& base, DiffSource& target) {
  CompareOptions compare;
  compare.tolerance = {options.absolute.value_or(0), options.relative.value_or(0)};
  compare.base_digests = base.side.digests;
  compare.target_digests = target.side.digests;
  compare.cancellation = context.cancellation;
  const std::unique_ptr<ProgressMeter> meter = context.console.StartProgress(absl::StrCat("diff ", target.label));
  compare.progress = [&](uint64_t done, uint64_t total) { meter->Update({done, total, 0}); };
  DiffReport report(context, ReportOptions(options));
  LayerTable layers;
  CAIRN_RETURN_IF_ERROR(
      CompareCheckpoints(*base.side.reader, *target.side.reader, compare, [&](const EntryComparison& entry) {
        meter->Clear();
        report.Add(entry);
        layers.Add(entry);
        return absl::OkStatus();
      }));
  meter->Clear();
  return FinishReport(context, options, report, layers, absl::StrCat(base.label, " -> ", target.label));
}

ExactDiffOptions ExactOptions(CommandContext& context, DiffSource& base, DiffSource& target, ProgressMeter& meter) {
  ExactDiffOptions exact;
  exact.base_label = base.label;
  exact.target_label = target.label;
  exact.cancellation = context.cancellation;
  exact.progress = [&meter](uint64_t done, uint64_t total) { meter.Update({done, total, 0}); };
  return exact;
}

client::DiffResult Numbers(const ExactDiffReport& report) {
  client::DiffResult result;
  result.target_bytes = report.target_bytes;
  result.diff_bytes = report.diff_bytes;
  result.base_digest = report.base_content.ToHex();
  result.target_digest = report.target_content.ToHex();
  return result;
}

void PrintExact(CommandContext& context, const client::DiffResult& report, const WrittenTarget& written) {
  if (context.console.json()) {
    nlohmann::json json = TargetToJson(written);
    json["mode"] = "exact";
    json["target_bytes"] = report.target_bytes;
    json["diff_bytes"] = report.diff_bytes;
    json["base_digest"] = report.base_digest;
    json["target_digest"] = report.target_digest;
    context.console.PrintJson(json);
    return;
  }
  if (written.checkpoint) context.console.PrintLine(TargetLine(written));
  context.console.PrintLine(absl::StrCat(
      SafeText(written.path), "  exact diff of ", FormatBytes(report.diff_bytes), " for a target of ", FormatBytes(report.target_bytes),
      "; base ", report.base_digest.substr(0, 12), ", target ", report.target_digest.substr(0, 12)));
}

void PrintArithmetic(CommandContext& context, uint64_t elements, uint64_t inexact, const WrittenTarget& written) {
  if (context.console.json()) {
    nlohmann::json json = TargetToJson(written);
    json["mode"] = "arithmetic";
    json["elements"] = elements;
    json["inexact_elements"] = inexact;
    context.console.PrintJson(json);
    return;
  }
  context.console.PrintLine(TargetLine(written));
  context.console.PrintLine(
      absl::StrCat(FormatCount(inexact), " of ", FormatCount(elements), " elements would not come back exactly"));
}

absl::Status WriteExact(CommandContext& context, const Options& options, DiffSource& base, DiffSource& target,
                        const TargetRequest& request) {
  const std::unique_ptr<ProgressMeter> meter = context.console.StartProgress(absl::StrCat("diff ", options.output));
  const ExactDiffOptions exact = ExactOptions(context, base, target, *meter);
  if (!IsRefTarget(options.output)) {
    CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, ParseFileArgument(options.output));
    CAIRN_ASSIGN_OR_RETURN(const std::shared_ptr<SinkTree> tree,
                           CreatePlace(spec.path, context.cancellation, {.overwrite = options.to.overwrite}));
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSink> sink, tree->Create(""));
    CAIRN_ASSIGN_OR_RETURN(const ExactDiffReport report, WriteExactDiff(*base.side.reader, *target.side.reader, exact, *sink));
    CAIRN_RETURN_IF_ERROR(sink->Close());
    sink.reset();
    CAIRN_RETURN_IF_ERROR(tree->Commit());
    meter->Clear();
    WrittenTarget written;
    written.path = ShownPlace(spec.path);
    written.format = "cairndiff";
    written.entries = 1;
    written.bytes = report.diff_bytes;
    PrintExact(context, Numbers(report), written);
    return absl::OkStatus();
  }
  // A daemon wants to know how long an asset is before it takes its first byte, so the diff lies in a file for a while.
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
  if (error) return ErrnoStatus(error.value(), "find the folder for temporary files", "TMPDIR");
  ExactDiffReport report;
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointReader> diff,
                         MakeDiffAsset(*base.side.reader, *target.side.reader, exact, folder.string(), &report));
  meter->Clear();
  CAIRN_ASSIGN_OR_RETURN(const WrittenTarget written, WriteTarget(context, request, *diff));
  PrintExact(context, Numbers(report), written);
  return absl::OkStatus();
}

absl::Status WriteArithmetic(CommandContext& context, const Options& options, DiffSource& base, DiffSource& target,
                             const TargetRequest& request) {
  std::optional<Dtype> dtype;
  if (IsRefTarget(options.output)) {
    CAIRN_ASSIGN_OR_RETURN(dtype, ParseDtypeOption(options.dtype));
  } else {
    CAIRN_ASSIGN_OR_RETURN(const TargetFile file, ResolveTarget(options.output, options.to));
    CAIRN_ASSIGN_OR_RETURN(dtype, DtypeForTarget(options.dtype, *file.format));
  }
  CAIRN_ASSIGN_OR_RETURN(
      const std::unique_ptr<ArithmeticReader> difference,
      ArithmeticReader::Open(*base.side.reader, *target.side.reader, {ArithmeticOperation::kDifference, dtype}));
  LabelledReader labelled(*difference,
                          {{kDiffModeKey, "arithmetic"}, {kDiffBaseKey, base.label}, {kDiffTargetKey, target.label}});
  CAIRN_ASSIGN_OR_RETURN(const WrittenTarget written, WriteTarget(context, request, labelled));
  PrintArithmetic(context, difference->elements(), difference->inexact(), written);
  return absl::OkStatus();
}

absl::Status RunInDaemon(CommandContext& context, const Options& options, const DaemonPlaces& places) {
  RemoteDiffRequest request;
  request.verb = "diff";
  request.sources = {options.base, options.target};
  request.places = places;
  request.destination = options.output;
  request.mode = options.mode;
  request.dtype = options.dtype;
  request.select = options.select;
  request.to = options.to;
  if (!options.output.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const RemoteDiff diff, DiffRemotely(context, std::move(request)));
    if (options.exact()) {
      PrintExact(context, diff.result, diff.written);
    } else {
      PrintArithmetic(context, diff.result.elements, diff.result.inexact_elements, diff.written);
    }
    return absl::OkStatus();
  }
  CAIRN_ASSIGN_OR_RETURN(const RemoteReport remote,
                         ReportRemotely(context, std::move(request), options.absolute.value_or(0), options.relative.value_or(0)));
  DiffReport report(context, ReportOptions(options));
  LayerTable layers;
  for (const client::EntryDiff& entry : remote.result.entries) {
    const EntryComparison comparison = transfer::ToComparison(entry);
    report.Add(comparison);
    layers.Add(comparison);
  }
  return FinishReport(context, options, report, layers, remote.title);
}

absl::Status Run(CommandContext& context, Options options) {
  CAIRN_RETURN_IF_ERROR(CheckOptions(options));
  CAIRN_ASSIGN_OR_RETURN(const std::optional<DaemonPlaces> places, FindDaemonPlaces({options.base, options.target}, options.output));
  if (places.has_value()) {
    const absl::Status done = RunInDaemon(context, options, *places);
    if (!FallsBack(context, done, *places)) return done;
  }
  options.output = WithoutRefPrefix(options.output);
  TargetRequest request;
  request.verb = "diff";
  request.destination = options.output;
  request.to = options.to;
  const bool exact_file = options.exact() && !options.output.empty() && !IsRefTarget(options.output);
  if (exact_file) {
    CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, ParseFileArgument(options.output));
    const std::string format = spec.format != nullptr ? std::string(spec.format->name()) : options.to.format;
    if (!format.empty() && format != CairnDiffFormat().name()) {
      return UsageError(absl::StrCat("an exact diff is a file of its own format, cairndiff, and not ", format,
                                     "; --mode arithmetic writes any format"));
    }
  } else if (!options.output.empty()) {
    CAIRN_RETURN_IF_ERROR(CheckTarget(request));
  }
  CAIRN_ASSIGN_OR_RETURN(DiffSource base, OpenDiffSource(context, options.base));
  CAIRN_ASSIGN_OR_RETURN(DiffSource target, OpenDiffSource(context, options.target));
  CAIRN_RETURN_IF_ERROR(SelectInBoth(options.select, base, target));
  if (options.output.empty()) return Report(context, options, base, target);
  request.parent = base.uid_ref;
  request.identity = absl::StrCat(options.mode, "\n", options.dtype, "\n", base.identity, "\n", target.identity);
  return options.exact() ? WriteExact(context, options, base, target, request)
                         : WriteArithmetic(context, options, base, target, request);
}

}  // namespace

void AddDiffCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "diff", "Compare two checkpoints, or write what turns one into the other.",
      {"cairn diff team/run@1000 team/run@2000 --only changed",
       "cairn diff base.safetensors tuned.safetensors --summary --plot tuned.svg",
       "cairn diff expected.safetensors got.safetensors --rtol 1e-3 --atol 1e-6    # 0: close enough, 7: not",
       "cairn diff base.safetensors tuned.safetensors --output tuned.cairndiff",
       "cairn diff team/base@1 team/tuned@1 --output team/tuned-diff@1             # runs in the daemon",
       "cairn diff params::base params::tuned --mode arithmetic --dtype bf16 --output params::delta"},
      [options](CommandContext& context) { return Run(context, *options); });
  command->add_option("BASE", options->base, "A ref; or a file: PREFIX::PATH, or a path that exists; or, on the daemon's machine, server::PATH")->required();
  command->add_option("TARGET", options->target, "The same")->required();
  command->add_option("--select", options->select, "Only these entries: paths, prefixes (params/), globs (**/kernel); !PATTERN leaves out")
      ->type_name("PATTERN...");
  command->add_option("--only", options->only,
                      "Show only entries that are: equal, changed, \"value changed\", added, removed, reshaped or recast")
      ->type_name("NAME...");
  command->add_option("--atol", options->absolute, "Elements are close if |target - base| <= atol + rtol * |base| [0]")
      ->type_name("X");
  command->add_option("--rtol", options->relative, "See --atol [0]")->type_name("X");
  command->add_flag("--summary", options->summary, "A table by layer too");
  command->add_option("--plot", options->plot, "Write a picture: a heat map of layers and parameter kinds")
      ->type_name("FILE.svg");
  command->add_option("-o,--output", options->output, "Write a diff instead of a report: a file, or NAME@STEP")
      ->type_name("DST");
  command->add_option("--mode", options->mode,
                      "Of --output: exact keeps every bit; arithmetic writes target - base as a checkpoint [exact]")
      ->check(CLI::IsMember({"exact", "arithmetic"}));
  command->add_option("--dtype", options->dtype,
                      "Of an arithmetic diff: cast float tensors; keep leaves them [bf16 if the target is easylm, else keep]")
      ->type_name("D|keep");
  AddTargetOptions(*command, options->to);
}

}  // namespace cairn::cli
