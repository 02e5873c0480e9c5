#include "client/cli/transfer.h"

#include <algorithm>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/text.h"
#include "common/convert/train_state.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"

namespace cairn::cli {

void AddSourceOptions(CLI::App& command, SourceOptions& options, const std::string& dtype_help) {
  command.add_option("--dtype", options.dtype, dtype_help)->type_name("D|keep");
  command
      .add_option("--select", options.select,
                  "Only these entries: paths, prefixes (params/), globs (**/kernel); !PATTERN leaves out")
      ->type_name("PATTERN...");
  command.add_flag("--strict,!--no-strict", options.strict,
                   "Refuse a source with objects that cannot be carried instead of leaving them out by name");
  auto* no_optimizer = command.add_flag("--no-optimizer", options.no_optimizer,
                                        "Of a train state only the parameters, as a tree of their own");
  command
      .add_flag("--keep-optimizer", options.keep_optimizer,
                "Of a train state everything (the default; refused with trainstate_params::)")
      ->excludes(no_optimizer);
}

void AddTargetOptions(CLI::App& command, TargetOptions& options) {
  command
      .add_option(
          "--to", options.format,
          "Format of the target: easylm, flax, npz, safetensors or torch [by prefix or name of the target, else safetensors]")
      ->type_name("FORMAT");
  command
      .add_option("--max-shard-size", options.max_shard_size,
                  "Cut into files of at most this size (5GB, 500MiB), for formats with shards")
      ->type_name("SIZE");
  command
      .add_option("--separator", options.separator,
                  "Between the segments of a path, for formats with flat names [.]")
      ->type_name("TEXT");
  command.add_flag("--drop-unsupported", options.drop_unsupported,
                   "Leave out entries that the format cannot hold instead of refusing");
  command.add_flag("--overwrite", options.overwrite, "Replace what is there");
}

absl::StatusOr<TargetFile> ResolveTarget(const std::string& destination, const TargetOptions& options) {
  CAIRN_ASSIGN_OR_RETURN(const FileSpec spec, ParseFileArgument(destination));
  TargetFileOptions target;
  target.format = options.format;
  if (!options.max_shard_size.empty()) {
    const absl::StatusOr<uint64_t> size = ParseByteSize(options.max_shard_size);
    if (!size.ok()) return UsageError(absl::StrCat("--max-shard-size: ", size.status().message()));
    target.max_shard_bytes = *size;
  }
  if (!IsUtf8(options.separator)) {
    return UsageError(absl::StrCat("--separator: expected UTF-8, found \"", options.separator, "\""));
  }
  target.separator = options.separator;
  target.drop_unsupported = options.drop_unsupported;
  target.overwrite = options.overwrite;
  absl::StatusOr<TargetFile> file = cairn::ResolveTarget(spec, target);
  if (!file.ok()) return UsageError(file.status().message());
  return file;
}

absl::StatusOr<std::optional<Dtype>> ParseDtypeOption(const std::string& text) {
  if (text.empty() || text == "keep") return std::nullopt;
  const std::optional<Dtype> dtype = ParseDtype(text);
  if (!dtype.has_value() || !IsFloat(*dtype)) {
    return UsageError(absl::StrCat(
        "--dtype: expected keep or a float type (float32, bf16, fp16, float8_e4m3fn, ...), found \"", text,
        "\""));
  }
  return dtype;
}

absl::StatusOr<std::optional<Dtype>> DtypeForTarget(const std::string& text, const Format& target) {
  if (text.empty()) return cairn::DefaultFloatDtype(target);
  return ParseDtypeOption(text);
}

void NoteDefaultCast(CommandContext& context, const SourceOptions& options, int64_t casts) {
  if (!options.dtype.empty() || casts == 0) return;
  context.console.Note(absl::StrCat(casts, casts == 1 ? " float tensor becomes " : " float tensors become ",
                                    "bfloat16",
                                    ", the default of EasyLM files; --dtype keep leaves floats as they are"));
}

absl::Status CheckOptimizerOptions(const SourceOptions& options, const FileSpec& source) {
  if (options.keep_optimizer && source.variant == "trainstate_params") {
    return UsageError(
        "--keep-optimizer: the prefix trainstate_params:: leaves the optimizer out; use trainstate::");
  }
  return absl::OkStatus();
}

absl::Status ReportLeftOut(CommandContext& context, const SourceOptions& options, const CheckpointIndex& source) {
  constexpr size_t kShown = 5;
  if (source.left_out.empty()) return absl::OkStatus();
  std::string what;
  for (size_t i = 0; i < std::min(kShown, source.left_out.size()); ++i) {
    absl::StrAppend(&what, i == 0 ? "" : "; ", "\"", source.left_out[i].path.ToString(), "\": ", source.left_out[i].what);
  }
  if (source.left_out.size() > kShown) absl::StrAppend(&what, "; and ", source.left_out.size() - kShown, " more");
  if (options.strict) return absl::InvalidArgumentError(absl::StrCat("--strict: the source holds what cannot be carried: ", what));
  context.console.Note(absl::StrCat("left out, because it cannot be carried: ", what));
  return absl::OkStatus();
}

absl::StatusOr<PlanOptions> MakePlanOptions(const SourceOptions& options, std::optional<Dtype> float_dtype,
                                            const CheckpointIndex& source) {
  PlanOptions plan;
  plan.float_dtype = float_dtype;
  absl::StatusOr<Selection> select = Selection::Parse(options.select);
  if (!select.ok()) return UsageError(absl::StrCat("--select: ", select.status().message()));
  plan.select = *std::move(select);
  // A pattern that matches nothing is refused by name later; here, all have matched and yet nothing is left.
  std::vector<const KeyPath*> paths;
  for (const Entry& entry : source.entries) paths.push_back(&entry.path);
  const auto chosen = [&](const KeyPath* path) { return plan.select.Matches(*path); };
  if (!paths.empty() && std::none_of(paths.begin(), paths.end(), chosen) && plan.select.Unmatched(paths).empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--select: leaves none of ", source.entries.size(), " entries"));
  }
  if (options.no_optimizer) {
    const std::optional<KeyPath> params = cairn::ParamsOfTrainState(source);
    if (!params.has_value()) {
      return absl::InvalidArgumentError(
          "--no-optimizer: this is no train state: expected entries below \"params/params\", or below \"params\" "
          "beside others");
    }
    plan.root = *params;
  }
  return plan;
}

absl::StatusOr<TransferResult> RunTransfer(CommandContext& context, const std::string& label,
                                           CheckpointReader& reader, const ConvertPlan& plan,
                                           CheckpointWriter& writer, bool may_drop) {
  const std::unique_ptr<ProgressMeter> meter = context.console.StartProgress(label);
  TransferResult result;
  ConvertOptions options;
  options.cancellation = context.cancellation;
  options.may_drop = may_drop;
  options.progress = [&](const ConvertProgress& progress) {
    result.entries = progress.entries_done;
    result.bytes = progress.bytes_done;
    result.bytes_skipped = progress.bytes_skipped;
    meter->Update({progress.bytes_done, progress.bytes_total, progress.bytes_skipped});
  };
  CAIRN_RETURN_IF_ERROR(RunConvert(reader, plan, writer, options));
  result.elapsed = meter->elapsed();
  return result;
}

std::string Describe(const TransferResult& result) {
  std::string text =
      absl::StrCat(FormatCount(result.entries), result.entries == 1 ? " entry, " : " entries, ",
                   FormatBytes(result.bytes), " in ", FormatElapsed(result.elapsed));
  if (result.bytes_skipped > 0)
    absl::StrAppend(&text, " (", FormatBytes(result.bytes_skipped), " were there already)");
  return text;
}

}  // namespace cairn::cli
