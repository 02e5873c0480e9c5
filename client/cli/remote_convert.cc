#include "client/cli/remote_convert.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/text.h"
#include "common/base/status_macros.h"
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

absl::Status RunRemoteConvert(CommandContext& context, const std::string& source, const std::string& destination,
                              const SourceOptions& from, const TargetOptions& to) {
  client::ConvertSpec spec;
  CAIRN_ASSIGN_OR_RETURN(spec.source, PlaceOf(source, destination));
  CAIRN_ASSIGN_OR_RETURN(spec.target, PlaceOf(destination, source));
  if (!to.format.empty()) {
    if (!spec.target.ref.empty()) return UsageError("--to: a ref has no format");
    if (!spec.target.format.empty() && spec.target.format != to.format) {
      return UsageError(absl::StrCat("--to ", to.format, " contradicts the prefix ", spec.target.format, "::"));
    }
    spec.target.format = to.format;
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
  spec.select = from.select;
  spec.weights_only = from.no_optimizer;
  spec.separator = to.separator;
  spec.drop_unsupported = to.drop_unsupported;
  spec.overwrite = to.overwrite;
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
  result.entries = done->progress.entries_done;
  result.bytes = done->progress.bytes_done;
  result.bytes_skipped = done->progress.bytes_skipped;
  if (context.console.json()) {
    nlohmann::json report = {{"source", source},
                             {"source_format", done->source_format},
                             {"path", destination},
                             {"format", done->target_format},
                             {"entries", result.entries},
                             {"bytes", result.bytes},
                             {"seconds", absl::ToDoubleSeconds(result.elapsed)}};
    if (done->checkpoint.has_value()) report["checkpoint"] = CheckpointToJson(*done->checkpoint);
    context.console.PrintJson(report);
  } else {
    context.console.PrintLine(absl::StrCat(SafeText(destination), done->target_format.empty() ? "" : "  ", done->target_format, "  ", Describe(result)));
  }
  return absl::OkStatus();
}

}  // namespace cairn::cli
