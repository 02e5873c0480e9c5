#include "client/cli/remote_diff.h"

#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/save_ref.h"
#include "client/cli/session_key.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/format/checkpoint_file.h"

namespace cairn::cli {
namespace {

constexpr int kMostKeys = 64;
constexpr char kSessionSpent[] = "SESSION_SPENT";

// A daemon, and what the sources are to it.
struct Opened {
  client::Client client;
  std::vector<std::string> labels;  // By source.
  std::string identity;             // Of all sources.
  std::string parent;               // The base's uid.
};

absl::StatusOr<client::CheckpointInfo> Resolve(const client::Client& client, const std::string& ref, const std::string& argument) {
  absl::StatusOr<client::CheckpointInfo> found = client.GetCheckpoint(ref);
  if (found.ok() || ref != argument) return found;
  return TakenForRef(NorAFile(found.status(), ref), ref);
}

// Refs become uids: the report, its title and the session key are about the same checkpoints, whatever happens to the refs.
absl::StatusOr<Opened> Open(CommandContext& context, RemoteDiffRequest& request) {
  for (size_t i = 0; i < request.sources.size(); ++i) {
    if (!request.places.sources[i].ref.empty()) CAIRN_RETURN_IF_ERROR(CheckRefArgument(request.places.sources[i].ref));
  }
  CAIRN_ASSIGN_OR_RETURN(client::Client client, ConnectForTransfer(context));
  Opened opened{std::move(client), {}, {}, {}};
  for (size_t i = 0; i < request.sources.size(); ++i) {
    client::ConvertPlace& place = request.places.sources[i];
    if (place.ref.empty()) {
      const std::filesystem::path path(place.path);
      opened.labels.push_back((path.has_filename() ? path : path.parent_path()).filename().string());
      absl::StrAppend(&opened.identity, place.format, "::", place.path, "\n");
      continue;
    }
    CAIRN_ASSIGN_OR_RETURN(const client::CheckpointInfo checkpoint, Resolve(opened.client, place.ref, request.sources[i]));
    place.ref = checkpoint.UidRef();
    opened.labels.push_back(checkpoint.ShownRef());
    absl::StrAppend(&opened.identity, place.ref, "\n");
    if (i == 0) opened.parent = place.ref;
  }
  return opened;
}

// What the options say of the output, and what of them a daemon cannot do.
absl::Status FillOutput(const RemoteDiffRequest& request, client::ConvertPlace& output) {
  if (!output.ref.empty()) {
    if (!request.to.format.empty()) return UsageError("--to: a ref has no format");
    return ParseTargetRef(output.ref).status();
  }
  const TargetOptions& to = request.to;
  if (!to.max_shard_size.empty() || to.parts != 0 || to.separator != TargetOptions().separator || to.drop_unsupported || to.resume || to.assets_beside) {
    return UsageError(absl::StrCat("--max-shard-size, --parts, --separator, --drop-unsupported, --resume and --assets-beside: not for files that a daemon writes with ",
                                   request.verb));
  }
  if (to.format.empty()) return absl::OkStatus();
  if (!output.format.empty() && output.format != to.format) {
    return UsageError(absl::StrCat("--to ", to.format, " contradicts the prefix ", output.format, "::"));
  }
  output.format = to.format;
  return absl::OkStatus();
}

// What float tensors become: what was said, or what files of that format hold if nobody says anything.
absl::StatusOr<std::optional<Dtype>> ArithmeticDtype(const RemoteDiffRequest& request, const client::ConvertPlace& output) {
  if (request.dtype.empty() && output.ref.empty()) {
    FileSpec spec;
    if (output.format.empty()) {
      spec.path = output.path;
    } else if (absl::StatusOr<FileSpec> named = ParseFileSpec(absl::StrCat(output.format, "::", output.path)); named.ok()) {
      spec = *std::move(named);
    }
    const absl::StatusOr<cairn::TargetFile> file = cairn::ResolveTarget(spec, TargetFileOptions{});
    if (file.ok()) return DefaultFloatDtype(*file->format);
  }
  return ParseDtypeOption(request.dtype);
}

std::string KeyOf(const RemoteDiffRequest& request, const Opened& opened) {
  PushIdentity identity;
  identity.ref = request.places.output.ref;
  identity.source = absl::StrCat(request.verb, " in the daemon");
  identity.file_identity = absl::StrCat(request.mode, "\n", request.dtype, "\n", opened.identity);
  identity.select = request.select;
  identity.parent = opened.parent;
  identity.overwrite = request.to.overwrite;
  return SessionKey(identity);
}

// Runs `call` under the session key that says what is made, so that the same command goes on where it stopped. A key whose session
// is over is spent, and so is one whose checkpoint was removed since: the next of its line is tried.
template <class Call>
auto WithSession(const client::Client& client, const std::string& key, Call call) -> decltype(call(key)) {
  for (int attempt = 0;; ++attempt) {
    auto result = call(attempt == 0 ? key : absl::StrCat(key, "-", attempt));
    const bool spent = result.ok() ? result->checkpoint.has_value() && absl::IsNotFound(client.GetCheckpoint(result->checkpoint->UidRef()).status())
                                   : GetErrorInfo(result.status()).reason == kSessionSpent;
    if (!spent || attempt + 1 == kMostKeys) return result;
  }
}

WrittenTarget Written(const RemoteDiffRequest& request, const std::optional<client::CheckpointInfo>& checkpoint, uint64_t bytes,
                      absl::Duration elapsed) {
  WrittenTarget written;
  written.path = request.destination;
  written.bytes = bytes;
  written.elapsed = elapsed;
  written.format = request.places.output.format;
  if (checkpoint.has_value()) {
    written.path = checkpoint->ShownRef();
    written.entries = checkpoint->entry_count;
    written.bytes = checkpoint->logical_bytes;
    written.checkpoint = checkpoint;
  }
  return written;
}

}  // namespace

bool FallsBack(CommandContext& context, const absl::Status& status, const DaemonPlaces& places) {
  if (!absl::IsUnimplemented(status) || places.files) return false;
  context.console.Note("the daemon is too old to do this itself, so its checkpoints are read from here");
  return true;
}

absl::StatusOr<RemoteReport> ReportRemotely(CommandContext& context, RemoteDiffRequest request, double absolute, double relative) {
  CAIRN_ASSIGN_OR_RETURN(const Opened opened, Open(context, request));
  client::DiffSpec spec;
  spec.base = request.places.sources[0];
  spec.target = request.places.sources[1];
  spec.select = request.select;
  spec.absolute_tolerance = absolute;
  spec.relative_tolerance = relative;
  RemoteReport report;
  report.title = absl::StrJoin(opened.labels, " -> ");
  const std::unique_ptr<ProgressMeter> meter = context.console.StartProgress(absl::StrCat("diff ", opened.labels[1]));
  absl::StatusOr<client::DiffResult> result = opened.client.Diff(
      spec, [&](const client::DiffProgress& progress) { meter->Update({progress.bytes_done, progress.bytes_total, 0}); });
  meter->Clear();
  if (!result.ok()) return AsSelectUsage(result.status());
  report.result = *std::move(result);
  return report;
}

absl::StatusOr<RemoteDiff> DiffRemotely(CommandContext& context, RemoteDiffRequest request) {
  CAIRN_RETURN_IF_ERROR(FillOutput(request, request.places.output));
  client::DiffSpec spec;
  spec.mode = request.mode == "arithmetic" ? client::DiffMode::kArithmetic : client::DiffMode::kExact;
  if (spec.mode == client::DiffMode::kArithmetic) {
    CAIRN_ASSIGN_OR_RETURN(spec.float_dtype, ArithmeticDtype(request, request.places.output));
  }
  CAIRN_ASSIGN_OR_RETURN(const Opened opened, Open(context, request));
  spec.base = request.places.sources[0];
  spec.target = request.places.sources[1];
  spec.output = request.places.output;
  spec.select = request.select;
  spec.overwrite = request.to.overwrite;
  spec.created_by = WhoIsThis();
  client::DiffProgress reached;
  const std::unique_ptr<ProgressMeter> meter = context.console.StartProgress(absl::StrCat("diff ", request.destination));
  absl::StatusOr<client::DiffResult> result = WithSession(opened.client, KeyOf(request, opened), [&](const std::string& key) {
    spec.session_key = key;
    return opened.client.Diff(spec, [&](const client::DiffProgress& progress) {
      reached = progress;
      meter->Update({progress.bytes_done, progress.bytes_total, 0});
    });
  });
  meter->Clear();
  if (!result.ok()) return AsSelectUsage(result.status());
  RemoteDiff diff;
  const bool exact = spec.mode == client::DiffMode::kExact;
  diff.written = Written(request, result->checkpoint, exact ? result->diff_bytes : reached.bytes_done, meter->elapsed());
  if (exact && !result->checkpoint.has_value()) {
    diff.written.format = "cairndiff";
    diff.written.entries = 1;
  }
  diff.result = *std::move(result);
  return diff;
}

absl::StatusOr<RemoteRecovery> RecoverRemotely(CommandContext& context, RemoteDiffRequest request) {
  CAIRN_RETURN_IF_ERROR(FillOutput(request, request.places.output));
  client::RecoverSpec spec;
  spec.arithmetic = request.mode == "arithmetic";
  // Not even EasyLM's files cast what shall be exact, unless somebody says so.
  CAIRN_ASSIGN_OR_RETURN(spec.float_dtype, spec.arithmetic ? ArithmeticDtype(request, request.places.output) : ParseDtypeOption(request.dtype));
  CAIRN_ASSIGN_OR_RETURN(const Opened opened, Open(context, request));
  spec.base = request.places.sources[0];
  spec.diff = request.places.sources[1];
  spec.output = request.places.output;
  spec.overwrite = request.to.overwrite;
  spec.created_by = WhoIsThis();
  const std::unique_ptr<ProgressMeter> meter = context.console.StartProgress(absl::StrCat("recover ", request.destination));
  absl::StatusOr<client::RecoverResult> result = WithSession(opened.client, KeyOf(request, opened), [&](const std::string& key) {
    spec.session_key = key;
    return opened.client.Recover(
        spec, [&](const client::DiffProgress& progress) { meter->Update({progress.bytes_done, progress.bytes_total, 0}); });
  });
  meter->Clear();
  CAIRN_RETURN_IF_ERROR(result.status());
  RemoteRecovery recovery;
  recovery.written = Written(request, result->checkpoint, result->bytes, meter->elapsed());
  recovery.result = *std::move(result);
  return recovery;
}

}  // namespace cairn::cli
