#include "client/cli/diff_source.h"

#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/transfer/remote_reader.h"
#include "common/base/annotate.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/diff/diff_asset.h"
#include "common/format/cairndiff/diff_file.h"
#include "common/tensor/ref.h"

namespace cairn::cli {
namespace {

absl::StatusOr<std::unique_ptr<transfer::RemoteReader>> OpenRef(CommandContext& context, const std::string& text) {
  CAIRN_RETURN_IF_ERROR(CheckRefArgument(text));
  CAIRN_ASSIGN_OR_RETURN(client::Client client, ConnectForTransfer(context));
  absl::StatusOr<std::unique_ptr<transfer::RemoteReader>> reader =
      transfer::RemoteReader::Open(std::move(client), text, std::nullopt);
  if (!reader.ok()) return NorAFile(reader.status(), text);
  return reader;
}

// `argument` may have a prefix that says that it is no file.
absl::StatusOr<std::unique_ptr<transfer::RemoteReader>> OpenRefArgument(CommandContext& context, const std::string& argument) {
  const std::string text = WithoutRefPrefix(argument);
  absl::StatusOr<std::unique_ptr<transfer::RemoteReader>> remote = OpenRef(context, text);
  if (remote.ok() || text != argument) return remote;
  return TakenForRef(remote.status(), text);
}

// A file here: what is neither a ref nor on the daemon's machine.
bool IsLocal(const std::string& text) { return !DaemonPlace(text).has_value() && IsFileArgument(text); }

}  // namespace

absl::Status TakenForRef(const absl::Status& status, const std::string& text) {
  if (absl::StrContains(text, '@')) return status;
  return Annotate(status, absl::StrCat("there is no file ", text, ", so it was taken for a ref"));
}

std::string WithoutRefPrefix(const std::string& text) {
  return std::string(absl::StripPrefix(text, "ref::"));
}

absl::StatusOr<DiffSource> OpenDiffSource(CommandContext& context, const std::string& text) {
  DiffSource source;
  if (IsLocal(text)) {
    CAIRN_ASSIGN_OR_RETURN(OpenedFile file, OpenLocalFile(text, context.cancellation));
    CAIRN_ASSIGN_OR_RETURN(const std::string identity, SourceIdentity(file));
    const std::filesystem::path path(file.shown);
    source.label = (path.has_filename() ? path : path.parent_path()).filename().string();
    source.identity = absl::StrCat(text, "\n", identity);
    source.side.reader = std::move(file.reader);
    return source;
  }
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<transfer::RemoteReader> remote, OpenRefArgument(context, text));
  source.label = remote->checkpoint().ShownRef();
  source.uid_ref = source.identity = remote->checkpoint().UidRef();
  source.side.digests = remote->digests();
  source.side.reader = std::move(remote);
  return source;
}

absl::Status AsSelectUsage(const absl::Status& status) {
  if (GetErrorInfo(status).reason != kSelectReason) return status;
  return UsageError(absl::StrCat("--", status.message()));
}

absl::Status SelectInBoth(const std::vector<std::string>& patterns, DiffSource& first, DiffSource& second) {
  if (patterns.empty()) return absl::OkStatus();
  CAIRN_RETURN_IF_ERROR(AsSelectUsage(cairn::SelectInBoth(patterns, first.side, second.side)));
  for (DiffSource* source : {&first, &second}) absl::StrAppend(&source->identity, "\n", absl::StrJoin(patterns, "\n"));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ByteSource>> OpenDiffBytes(CommandContext& context, const std::string& text,
                                                          std::string* identity) {
  if (IsLocal(text)) {
    CAIRN_ASSIGN_OR_RETURN(FileSpec spec, ParseFileArgument(text));
    CAIRN_ASSIGN_OR_RETURN(const OpenedPlace place, OpenPlace(spec.path, context.cancellation));
    if (place.tree->is_directory()) return std::unique_ptr<ByteSource>();
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> file, place.tree->Open(""));
    const bool named = spec.format != nullptr && spec.format->name() == "cairndiff";
    if (!named && !LooksLikeDiffFile(*file)) {
      if (place.url != nullptr) CAIRN_RETURN_IF_ERROR(place.url->failure());
      file.reset();
    }
    if (place.url != nullptr) {
      *identity = place.url->Identity();
    } else {
      CAIRN_ASSIGN_OR_RETURN(*identity, FileIdentity(spec.path));
    }
    return file;
  }
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<transfer::RemoteReader> remote, OpenRefArgument(context, text));
  if (!StoresDiff(remote->index())) return std::unique_ptr<ByteSource>();
  *identity = remote->checkpoint().UidRef();
  std::string name = remote->checkpoint().ShownRef();
  return StoredDiffBytes(std::move(remote), std::move(name));
}

bool IsRefTarget(const std::string& text) {
  if (IsFileArgument(text)) return false;
  const absl::StatusOr<Ref> ref = Ref::Parse(text);
  return ref.ok() && ref->step.has_value();
}

absl::StatusOr<std::optional<DaemonPlaces>> FindDaemonPlaces(const std::vector<std::string>& sources, const std::string& output) {
  DaemonPlaces places;
  std::string local, remote;  // One of each, for the message.
  const auto take = [&](const std::string& text, bool is_ref) {
    client::ConvertPlace place;
    if (std::optional<client::ConvertPlace> named = DaemonPlace(text); named.has_value()) {
      place = *std::move(named);
    } else if (is_ref) {
      place.ref = text;
    } else {
      local = text;
    }
    if (!place.path.empty()) remote = text;
    return place;
  };
  for (const std::string& source : sources) places.sources.push_back(take(source, !IsFileArgument(source)));
  if (!output.empty()) places.output = take(output, IsRefTarget(output));
  places.files = !remote.empty();
  if (local.empty()) return places;
  if (!places.files) return std::nullopt;
  return UsageError(absl::StrCat("\"", remote, "\" is on the daemon's machine and \"", local,
                                 "\" is a file here: write server::PATH for both, or push one of them and name a ref"));
}

}  // namespace cairn::cli
