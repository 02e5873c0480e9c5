#include "client/cli/remote_convert.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/text.h"
#include "common/base/status_macros.h"
#include "common/format/checkpoint_file.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

absl::StatusOr<client::ConvertPlace> PlaceOf(const std::string& text, const std::string& other) {
  std::optional<client::ConvertPlace> place = DaemonPlace(text);
  if (place.has_value()) return *std::move(place);
  return UsageError(absl::StrCat("\"", other, "\" is on the daemon's side and \"", text,
                                 "\" is a file here: use push or pull, or write server::PATH for a file on the daemon's machine"));
}

}  // namespace

absl::Status FillConvertSpec(const SourceOptions& from, const TargetOptions& to, client::ConvertSpec& spec) {
  if (!to.format.empty()) {
    if (!spec.target.ref.empty()) return UsageError("--to: a ref has no format");
    if (!spec.target.format.empty() && spec.target.format != to.format) {
      return UsageError(absl::StrCat("--to ", to.format, " contradicts the prefix ", spec.target.format, "::"));
    }
    spec.target.format = to.format;
  }
  if (!spec.target.path.empty() && spec.target.format.empty()) {
    FileSpec named;
    named.path = spec.target.path;
    const absl::StatusOr<cairn::TargetFile> by_name = cairn::ResolveTarget(named, TargetFileOptions{});
    // EasyLM's own names mean its default dtype too. Other names are for the daemon to understand, which may know more.
    if (by_name.ok() && cairn::DefaultFloatDtype(*by_name->format).has_value()) spec.target.format = std::string(by_name->format->name());
  }
  CAIRN_ASSIGN_OR_RETURN(spec.float_dtype, ParseDtypeOption(from.dtype));
  // The daemon keeps floats unless it is told otherwise; EasyLM's files hold bfloat16 unless somebody says so.
  const std::string& format = spec.target.format;
  if (from.dtype.empty() && (format == "easylm" || format == "params" || absl::StartsWith(format, "trainstate"))) {
    spec.float_dtype = Dtype::kBfloat16;
  }
  if (!to.max_shard_size.empty()) {
    const absl::StatusOr<uint64_t> size = ParseByteSize(to.max_shard_size);
    if (!size.ok()) return UsageError(absl::StrCat("--max-shard-size: ", size.status().message()));
    spec.max_shard_bytes = *size;
  }
  spec.parts = to.parts;
  // The daemon reads the texts and says what is wrong with them; what cannot be read here is said here.
  CAIRN_ASSIGN_OR_RETURN(RecipeRequest recipe, MakeRecipeRequest(from, spec.float_dtype));
  spec.select = std::move(recipe.select);
  spec.exclude = std::move(recipe.exclude);
  spec.weights_only = recipe.weights_only;
  spec.root = std::move(recipe.root);
  spec.strip_prefix = std::move(recipe.strip_prefix);
  spec.prefix = std::move(recipe.prefix);
  spec.strict = from.strict;
  const auto text_file = [](MapLibrary::File& file) {
    return client::ConvertSpec::TextFile{std::move(file.name), std::move(file.text)};
  };
  if (recipe.renames.has_value()) spec.renames = text_file(*recipe.renames);
  if (recipe.map.has_value()) {
    spec.map = std::move(recipe.map->map);
    for (MapLibrary::File& file : recipe.map->files) spec.map_files.push_back(text_file(file));
    for (MapLibrary::File& file : recipe.map->configs) spec.map_configs.push_back(text_file(file));
    spec.map_symbols.insert(recipe.map->given.begin(), recipe.map->given.end());
  }
  spec.separator = to.separator;
  if (!spec.target.ref.empty() && (to.resume || to.assets_beside || to.parts != 0)) {
    return UsageError("--resume, --assets-beside and --parts are about files that are written, and the target is a ref");
  }
  spec.resume = to.resume;
  spec.assets_beside = to.assets_beside;
  spec.drop_unsupported = to.drop_unsupported;
  spec.overwrite = to.overwrite;
  return absl::OkStatus();
}

void NoteConversion(CommandContext& context, const client::ConversionResult& result) {
  if (!result.left_out.empty()) {
    context.console.Note(absl::StrCat("left out, because it cannot be carried: ", absl::StrJoin(result.left_out, "; ")));
  }
  for (const std::string& note : result.notes) context.console.Note(SafeText(note));
  if (!result.weights.empty()) context.console.Note(absl::StrCat("weights of a ", result.weights));
  if (!result.map.empty()) NoteMap(context, result.map, result.map_dropped);
}

void DescribeConversion(const client::ConversionResult& result, nlohmann::json& report) {
  if (!result.weights.empty()) report["weights"] = result.weights;
  if (result.map.empty()) return;
  report["map"] = result.map;
  report["left_out"] = result.map_dropped;
}

absl::Status RunRemoteConvert(CommandContext& context, const std::string& source, const std::string& destination,
                              const SourceOptions& from, const TargetOptions& to) {
  client::ConvertSpec spec;
  CAIRN_ASSIGN_OR_RETURN(spec.source, PlaceOf(source, destination));
  CAIRN_ASSIGN_OR_RETURN(spec.target, PlaceOf(destination, source));
  CAIRN_RETURN_IF_ERROR(FillConvertSpec(from, to, spec));
  CAIRN_ASSIGN_OR_RETURN(const client::Client client, Connect(context));
  std::unique_ptr<ProgressMeter> meter = context.console.StartProgress(absl::StrCat("convert ", destination));
  const absl::StatusOr<client::ConversionResult> done =
      client.Convert(spec, [&](const client::ConversionProgress& progress) {
        meter->Update({progress.bytes_done, progress.bytes_total, progress.bytes_skipped});
      });
  TransferResult result;
  result.elapsed = meter->elapsed();
  meter.reset();
  CAIRN_RETURN_IF_ERROR(done.status());
  NoteConversion(context, *done);
  result.entries = done->progress.entries_done;
  result.bytes = done->progress.bytes_done;
  result.bytes_skipped = done->progress.bytes_skipped;
  if (context.console.json()) {
    nlohmann::json report = {{"source", ShownPlace(source)},
                             {"source_format", done->source_format},
                             {"path", destination},
                             {"format", done->target_format},
                             {"entries", result.entries},
                             {"bytes", result.bytes},
                             {"bytes_resumed", result.bytes_skipped},
                             {"seconds", absl::ToDoubleSeconds(result.elapsed)}};
    if (done->checkpoint.has_value()) report["checkpoint"] = CheckpointToJson(*done->checkpoint);
    DescribeConversion(*done, report);
    context.console.PrintJson(report);
  } else {
    context.console.PrintLine(absl::StrCat(SafeText(destination), done->target_format.empty() ? "" : "  ", done->target_format, "  ", Describe(result)));
  }
  return absl::OkStatus();
}

}  // namespace cairn::cli
