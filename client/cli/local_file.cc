#include "client/cli/local_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli/exit_code.h"
#include "common/base/status_macros.h"
#include "common/format/checkpoint_file.h"
#include "common/io/byte_source.h"
#include "common/io/posix_file.h"
#include "common/tensor/ref.h"

namespace cairn::cli {
namespace {

constexpr int kMaxDepth = 3;  // Of folders that belong to one checkpoint.
constexpr size_t kBytesBeforeJson = 64;

// Such as an index, which is one file and names those that have the bytes.
bool IsJsonDocument(const std::string& path) {
  const absl::StatusOr<std::unique_ptr<ByteSource>> source = OpenFileSource(path);
  if (!source.ok()) return false;
  std::string text(std::min<uint64_t>((*source)->size(), kBytesBeforeJson), '\0');
  if (!(*source)->ReadAt(0, absl::MakeSpan(text)).ok()) return false;
  return absl::StartsWith(absl::StripLeadingAsciiWhitespace(text), "{");
}

absl::Status AddFilesBelow(const std::filesystem::path& folder, std::vector<std::string>& files) {
  namespace fs = std::filesystem;
  std::error_code error;
  const size_t first = files.size();
  // Some formats have folders of folders.
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    // What a run leaves that writes beside its source changes while it does.
    const bool ours = absl::StrContains(it->path().filename().string(), ".cairn-tmp-");
    if (ours || it.depth() > kMaxDepth) it.disable_recursion_pending();
    if (!ours) files.push_back(it->path().string());
  }
  if (error) return ErrnoStatus(error.value(), "list", folder.string());
  std::sort(files.begin() + static_cast<ptrdiff_t>(first), files.end());
  return absl::OkStatus();
}

}  // namespace

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
  const bool is_folder = fs::is_directory(absolute, error);
  std::vector<std::string> files;
  if (!is_folder) files.push_back(absolute.string());
  if (is_folder || IsJsonDocument(absolute.string())) {
    CAIRN_RETURN_IF_ERROR(AddFilesBelow(is_folder ? absolute : absolute.parent_path(), files));
  } else {
    // Maps read the model's numbers from beside a file of weights.
    for (const char* const name : {"config.json", "params.json"}) {
      const fs::path beside = absolute.parent_path() / name;
      if (fs::is_regular_file(beside, error)) files.push_back(beside.string());
    }
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
