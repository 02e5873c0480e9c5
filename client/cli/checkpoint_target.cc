#include "client/cli/checkpoint_target.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/checkpoint_output.h"
#include "client/cli/connect.h"
#include "client/cli/diff_source.h"
#include "client/cli/place.h"
#include "client/cli/exit_code.h"
#include "client/cli/save_ref.h"
#include "client/cli/session_key.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/convert/planned_reader.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

absl::StatusOr<WrittenTarget> WriteRef(CommandContext& context, const TargetRequest& request, CheckpointReader& reader) {
  const absl::Time start = Clock::Real().Now();
  CAIRN_ASSIGN_OR_RETURN(const Ref ref, ParseTargetRef(request.destination));
  SaveRefRequest save;
  save.verb = request.verb;
  save.spec.name = ref.name;
  save.spec.step = *ref.step;
  save.spec.overwrite = request.to.overwrite;
  save.spec.parent = request.parent;
  save.spec.created_by = WhoIsThis();
  save.spec.metadata = reader.index().metadata;
  PushIdentity identity;
  identity.ref = ref.ToString();
  identity.source = request.verb;
  identity.file_identity = request.identity;
  identity.float_dtype = request.float_dtype;
  identity.metadata = save.spec.metadata;
  identity.parent = request.parent;
  identity.overwrite = request.to.overwrite;
  save.spec.session_key = SessionKey(identity);
  CAIRN_ASSIGN_OR_RETURN(const client::Client client, ConnectForTransfer(context));
  CAIRN_ASSIGN_OR_RETURN(const SavedRef saved, SaveToRef(context, client, std::move(save), reader));
  WrittenTarget written;
  written.path = saved.checkpoint.ShownRef();
  written.entries = saved.checkpoint.entry_count;
  written.bytes = saved.checkpoint.logical_bytes;
  written.bytes_skipped = saved.was_there ? written.bytes : saved.progress.skipped_bytes;
  written.elapsed = Clock::Real().Now() - start;
  written.checkpoint = saved.checkpoint;
  return written;
}

}  // namespace

absl::Status CheckTarget(const TargetRequest& request) {
  if (!IsRefTarget(request.destination)) return ResolveTarget(request.destination, request.to).status();
  if (!request.to.format.empty()) return UsageError("--to: a ref has no format");
  return ParseTargetRef(request.destination).status();
}

absl::StatusOr<WrittenTarget> WriteTarget(CommandContext& context, const TargetRequest& request, CheckpointReader& reader) {
  PlanOptions options;
  options.float_dtype = request.float_dtype;
  CAIRN_ASSIGN_OR_RETURN(const ConvertPlan plan, MakeConvertPlan(reader.index(), options));
  if (IsRefTarget(request.destination)) {
    PlannedReader planned(reader, plan);
    return WriteRef(context, request, planned);
  }
  CAIRN_ASSIGN_OR_RETURN(TargetFile target, ResolveTarget(request.destination, request.to));
  RecipeRequest cast;
  cast.float_dtype = request.float_dtype;
  SetResume(context, request.to, cast, absl::StrCat(request.verb, "\n", request.identity), target);
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer, CreateTarget(context, target));
  CAIRN_ASSIGN_OR_RETURN(const TransferResult result,
                         RunTransfer(context, absl::StrCat(request.verb, " ", target.path), reader, plan, *writer,
                                     target.options.drop_unsupported));
  WrittenTarget written;
  written.path = target.path;
  written.format = std::string(target.format->name());
  written.entries = result.entries;
  written.bytes = result.bytes;
  written.bytes_skipped = result.bytes_skipped;
  written.elapsed = result.elapsed;
  return written;
}

nlohmann::json TargetToJson(const WrittenTarget& written) {
  nlohmann::json json = {{"path", written.path},
                         {"entries", written.entries},
                         {"bytes", written.bytes},
                         {"seconds", absl::ToDoubleSeconds(written.elapsed)}};
  if (written.checkpoint) {
    json["checkpoint"] = CheckpointToJson(*written.checkpoint);
    json["bytes_resumed"] = written.bytes_skipped;
  } else {
    json["format"] = written.format;
    json["bytes_resumed"] = written.bytes_skipped;
  }
  return json;
}

std::string TargetLine(const WrittenTarget& written) {
  if (written.checkpoint) return CheckpointLine(*written.checkpoint);
  TransferResult result;
  result.entries = written.entries;
  result.bytes = written.bytes;
  result.bytes_skipped = written.bytes_skipped;
  result.elapsed = written.elapsed;
  return absl::StrCat(written.path, "  ", written.format, "  ", Describe(result));
}

}  // namespace cairn::cli
