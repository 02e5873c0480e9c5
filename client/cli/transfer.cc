#include "client/cli/transfer.h"

#include <algorithm>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/text.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/io/file_tree.h"

namespace cairn::cli {
namespace {

std::string FormatNames() {
  return absl::StrJoin(AllFormats(), ", ", [](std::string* out, const Format* format) { absl::StrAppend(out, format->name()); });
}

}  // namespace

void AddSourceOptions(CLI::App& command, SourceOptions& options, const std::string& dtype_help) {
  command.add_option("--dtype", options.dtype, dtype_help)->type_name("D|keep");
  command
      .add_option("--select", options.select,
                  "Only these entries: paths, prefixes (params/), globs (**/kernel); !PATTERN leaves out")
      ->type_name("PATTERN...");
  command.add_flag("--strict,!--no-strict", options.strict,
                   "Refuse a source with objects that cannot be carried instead of leaving them out by name");
  command.add_option("--exclude", options.exclude, "Leave these entries out, as !PATTERN of --select does; may be repeated")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  command.add_option("--root", options.root, "Only what lies below this path, as a tree of its own")->type_name("PATH");
  auto* weights_only =
      command.add_flag("--weights-only,--no-optimizer", options.weights_only,
                       "Only the weights of the model, wherever they are (cairn show says where), as a tree of their own");
  command
      .add_flag("--keep-optimizer", options.keep_optimizer,
                "Of a train state everything (the default; refused with trainstate_params::)")
      ->excludes(weights_only);
  command
      .add_option("--strip-prefix", options.strip_prefix,
                  "Take this text away in front of names (model.), or a level of the tree (params/)")
      ->type_name("TEXT");
  command.add_option("--rename", options.rename, "Other names for entries: a YAML file of lines old: new (docs/name-maps.md)")
      ->type_name("FILE");
  AddMapOptions(command, options.map);
  command
      .add_option("--prefix", options.prefix, "Put this text in front of all names, after everything else (model., params/)")
      ->type_name("TEXT");
}

void AddTargetOptions(CLI::App& command, TargetOptions& options) {
  command
      .add_option(
          "--to", options.format,
          absl::StrCat("Format of the target: ", FormatNames(), " [by prefix or name of the target, else safetensors]"))
      ->type_name("FORMAT");
  command
      .add_option("--max-shard-size", options.max_shard_size,
                  "Cut into files of at most this size (5GB, 500MiB), for formats with shards")
      ->type_name("SIZE");
  command
      .add_option("--parts", options.parts, "Files that each have a slice of every tensor, for llama [1]")
      ->type_name("N")
      ->check(CLI::Range(1, 100));
  command
      .add_option("--separator", options.separator,
                  "Between the segments of a path, for formats with flat names [.]")
      ->type_name("TEXT");
  command.add_flag("--drop-unsupported", options.drop_unsupported,
                   "Leave out entries that the format cannot hold instead of refusing");
  command.add_flag("--assets-beside", options.assets_beside,
                   "Configuration and tokenizer files into the folder of a target that is one file");
  command.add_flag("--overwrite", options.overwrite, "Replace what is there");
  command.add_flag("--resume", options.resume,
                   "Keep what is written if the run is interrupted, and go on from what the same command has left");
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
  target.parts = options.parts;
  if (!IsUtf8(options.separator)) {
    return UsageError(absl::StrCat("--separator: expected UTF-8, found \"", options.separator, "\""));
  }
  target.separator = options.separator;
  target.drop_unsupported = options.drop_unsupported;
  target.assets_beside = options.assets_beside;
  target.overwrite = options.overwrite;
  absl::StatusOr<TargetFile> file = cairn::ResolveTarget(spec, target);
  if (!file.ok()) return UsageError(file.status().message());
  return file;
}

void SetResume(CommandContext& context, const TargetOptions& options, const RecipeRequest& request, const std::string& source, TargetFile& target) {
  target.note = [&context](const std::string& text) { context.console.Note(text); };
  if (options.resume) target.resume_identity = ResumeIdentity(target, {source, request.WholeIdentity()});
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

absl::StatusOr<RecipeRequest> MakeRecipeRequest(const SourceOptions& options, std::optional<Dtype> float_dtype) {
  RecipeRequest request;
  request.float_dtype = float_dtype;
  request.select = options.select;
  request.exclude = options.exclude;
  request.root = options.root;
  request.weights_only = options.weights_only;
  request.strip_prefix = options.strip_prefix;
  request.prefix = options.prefix;
  if (!options.rename.empty()) {
    CAIRN_ASSIGN_OR_RETURN(request.renames, ReadOptionFile("--rename", options.rename));
  }
  CAIRN_ASSIGN_OR_RETURN(request.map, MakeMappingRequest(options.map));
  if (const absl::Status status = request.Check(); !status.ok()) return UsageError(status.message());
  return request;
}

absl::StatusOr<std::unique_ptr<Recipe>> MakeRecipe(CommandContext& context, CheckpointReader& source, const SourceTree* beside,
                                                   const RecipeRequest& request) {
  // A pattern that matches nothing is refused by name later; here, all have matched and yet nothing is left.
  CAIRN_ASSIGN_OR_RETURN(const Selection select, request.Selected());
  std::vector<const KeyPath*> paths;
  for (const Entry& entry : source.index().entries) paths.push_back(&entry.path);
  const auto chosen = [&](const KeyPath* one) { return select.Matches(*one); };
  if (!paths.empty() && std::none_of(paths.begin(), paths.end(), chosen) && select.Unmatched(paths).empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--select: leaves none of ", paths.size(), " entries"));
  }
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<Recipe> recipe, Recipe::Create(source, request.map.has_value() ? beside : nullptr, request));
  if (const std::optional<WeightsPlace>& weights = recipe->weights(); weights.has_value()) {
    context.console.Note(absl::StrCat("weights of a ", weights->Describe()));
  }
  if (const Mapping* mapping = recipe->mapping(); mapping != nullptr) NoteMap(context, mapping->Describe(), mapping->plan().dropped);
  return recipe;
}

void DescribeRecipe(const Recipe& recipe, nlohmann::json& report) {
  if (recipe.weights().has_value()) report["weights"] = recipe.weights()->Describe();
  if (recipe.mapping() == nullptr) return;
  report["map"] = recipe.mapping()->Describe();
  report["left_out"] = recipe.mapping()->plan().dropped;
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
