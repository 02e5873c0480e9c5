#include "client/cli/local_file.h"

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli/exit_code.h"
#include "common/base/status_macros.h"
#include "common/format/checkpoint_file.h"
#include "common/io/file_identity.h"
#include "common/tensor/ref.h"

namespace cairn::cli {
bool IsFileArgument(const std::string& text) {
  // No ref begins like this, so a file that is missing is what must be spoken of.
  for (const char* begin : {"/", "./", "../"}) {
    if (absl::StartsWith(text, begin)) return true;
  }
  std::error_code ignored;
  if (IsUrl(text)) return true;
  return absl::StrContains(text, "::") || std::filesystem::exists(text, ignored);
}

absl::Status CheckRefArgument(const std::string& text) {
  const absl::Status ref = Ref::Parse(text).status();
  return ref.ok() ? ref : UsageError(absl::StrCat(ref.message(), ", or a file that exists"));
}

absl::Status NorAFile(const absl::Status& status, const std::string& text) {
  if (!absl::IsNotFound(status) || absl::StrContains(text, '@') || absl::StartsWith(text, "uid:")) return status;
  return absl::NotFoundError(absl::StrCat(status.message(), ", and there is no file ", text));
}

absl::StatusOr<FileSpec> ParseFileArgument(absl::string_view text) {
  absl::StatusOr<FileSpec> spec = ParseFileSpec(text);
  if (!spec.ok()) return UsageError(spec.status().message());
  if (spec->path.empty()) return UsageError(absl::StrCat("\"", text, "\": expected a path"));
  return spec;
}

std::optional<client::ConvertPlace> DaemonPlace(absl::string_view text) {
  client::ConvertPlace place;
  if (absl::ConsumePrefix(&text, "ref::")) {
    place.ref = std::string(text);
    return place;
  }
  if (!absl::ConsumePrefix(&text, "server::")) return std::nullopt;
  // What comes before the path is for the daemon to understand.
  const size_t end = text.find("::");
  if (end != absl::string_view::npos && !absl::StrContains(text.substr(0, end), '/')) {
    place.format = std::string(text.substr(0, end));
    text.remove_prefix(end + 2);
  }
  place.path = std::string(text);
  return place;
}

absl::StatusOr<OpenedFile> OpenLocalFile(absl::string_view text, const Cancellation& cancellation) {
  OpenedFile opened;
  CAIRN_ASSIGN_OR_RETURN(opened.spec, ParseFileArgument(text));
  opened.shown = ShownPlace(opened.spec.path);
  CAIRN_ASSIGN_OR_RETURN(opened.place, OpenPlace(opened.spec.path, cancellation));
  if (opened.spec.format == nullptr) {
    CAIRN_ASSIGN_OR_RETURN(opened.spec.format, DetectFormatOfPlace(opened.place));
  }
  absl::StatusOr<std::unique_ptr<CheckpointReader>> reader =
      opened.spec.format->Open(opened.place.tree, {.limits = ReadLimits{}, .variant = opened.spec.variant});
  if (!reader.ok()) return AsDamagedFile(reader.status());
  opened.reader = *std::move(reader);
  return opened;
}

absl::StatusOr<std::string> SourceIdentity(const OpenedFile& file) {
  if (file.place.url != nullptr) return file.place.url->Identity();
  return FileIdentity(file.spec.path);
}

absl::StatusOr<std::string> FileIdentity(const std::string& path) { return cairn::FileIdentity(path); }

}  // namespace cairn::cli
