#include "client/cli/local_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/strings/strip.h"
#include "client/cli/exit_code.h"
#include "common/base/status_macros.h"
#include "common/format/checkpoint_file.h"
#include "common/io/posix_file.h"
#include "common/tensor/ref.h"

namespace cairn::cli {

bool IsFileArgument(const std::string& text) {
  // No ref begins like this, so a file that is missing is what must be spoken of.
  for (const char* begin : {"/", "./", "../"}) {
    if (absl::StartsWith(text, begin)) return true;
  }
  std::error_code ignored;
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

absl::StatusOr<OpenedFile> OpenLocalFile(absl::string_view text) {
  OpenedFile opened;
  CAIRN_ASSIGN_OR_RETURN(opened.spec, ParseFileArgument(text));
  CAIRN_RETURN_IF_ERROR(cairn::DetectFormatOf(opened.spec));
  absl::StatusOr<std::unique_ptr<CheckpointReader>> reader = OpenCheckpointFile(opened.spec, ReadLimits{});
  if (!reader.ok()) return AsDamagedFile(reader.status());
  opened.reader = *std::move(reader);
  return opened;
}

absl::StatusOr<std::string> FileIdentity(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path absolute = fs::canonical(path, error);
  if (error) return ErrnoStatus(error.value(), "open", path);
  std::vector<std::string> files;
  if (fs::is_directory(absolute, error)) {
    for (fs::directory_iterator it(absolute, error), end; !error && it != end; it.increment(error)) {
      files.push_back(it->path().string());
    }
    if (error) return ErrnoStatus(error.value(), "list", path);
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(absolute.string());
  }
  std::string identity;
  for (const std::string& file : files) {
    struct stat info = {};
    if (::stat(file.c_str(), &info) != 0) return ErrnoStatus(errno, "stat", file);
    if (!S_ISREG(info.st_mode)) continue;
    absl::StrAppend(&identity, file.size(), ":", file, " ", info.st_size, " ", info.st_mtim.tv_sec, ".",
                    info.st_mtim.tv_nsec, "\n");
  }
  return identity;
}

}  // namespace cairn::cli
