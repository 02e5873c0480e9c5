#include "common/io/file_identity.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/base/status_macros.h"
#include "common/io/byte_source.h"
#include "common/io/posix_file.h"

namespace cairn {
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
    // The time of the last write is anybody's to set, and files of one image often have one and the same. That of the last change of
    // the file itself is not.
    absl::StrAppend(&identity, file.size(), ":", file, " ", info.st_size, " ", info.st_mtim.tv_sec, ".",
                    info.st_mtim.tv_nsec, " ", info.st_ctim.tv_sec, ".", info.st_ctim.tv_nsec, "\n");
  }
  return identity;
}

}  // namespace cairn
