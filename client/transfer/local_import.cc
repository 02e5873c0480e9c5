#include "client/transfer/local_import.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"

namespace cairn::transfer {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFiles = 65'536;  // What a daemon takes.
constexpr size_t kMaxOpen = 32;

}  // namespace

absl::StatusOr<std::unique_ptr<LocalImport>> LocalImport::Open(const std::string& path, bool beside) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, "open", path);
  std::error_code error;
  fs::path absolute = fs::absolute(path, error).lexically_normal();
  if (error) return ErrnoStatus(error.value(), "open", path);
  if (!absolute.has_filename()) absolute = absolute.parent_path();
  std::unique_ptr<LocalImport> files(new LocalImport(absolute.has_filename() ? absolute.filename().string() : path));
  if (S_ISREG(info.st_mode)) {
    files->Add("", path, /*beside=*/false);
    // Only an index has a use for its neighbours; of other files they are nobody's business.
    if (beside || absl::EndsWith(path, ".json")) CAIRN_RETURN_IF_ERROR(files->AddFolder(absolute.parent_path().string(), /*beside=*/true));
    return files;
  }
  if (!S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": expected a file or a folder, found ", KindOfFile(info.st_mode)));
  }
  CAIRN_RETURN_IF_ERROR(files->AddFolder(path, /*beside=*/false));
  return files;
}

void LocalImport::Add(std::string name, const std::string& path, bool beside) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return;  // A dangling link is no file.
  const uint64_t size = static_cast<uint64_t>(info.st_size);
  files_.push_back({std::move(name), size, beside});
  states_.push_back({path, size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec});
}

absl::Status LocalImport::AddFolder(const std::string& folder, bool beside) {
  std::error_code error;
  std::vector<fs::path> paths;
  fs::recursive_directory_iterator it(folder, error);
  for (const fs::recursive_directory_iterator end; !error && it != end; it.increment(error)) {
    if (it->is_directory(error) && !error) {
      if (beside) it.disable_recursion_pending();
      continue;
    }
    error.clear();
    paths.push_back(it->path());
    if (paths.size() > kMaxFiles) {
      return absl::InvalidArgumentError(
          absl::StrCat(folder, ": more than ", kMaxFiles, " files; expected the folder of a checkpoint, or its file"));
    }
  }
  if (error) return ErrnoStatus(error.value(), "list", folder);
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) Add(path.lexically_relative(folder).generic_string(), path.string(), beside);
  return absl::OkStatus();
}

absl::StatusOr<int> LocalImport::OpenFile(uint32_t file) {
  const auto found = std::find_if(open_.begin(), open_.end(), [&](const auto& open) { return open.first == file; });
  if (found != open_.end()) {
    open_.splice(open_.begin(), open_, found);
  } else {
    // A pipe that has taken the place of the file is not waited for.
    UniqueFd fd(::open(states_[file].path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd.valid()) return ErrnoStatus(errno, "open", states_[file].path);
    open_.emplace_front(file, std::move(fd));
    if (open_.size() > kMaxOpen) open_.pop_back();
  }
  return open_.front().second.get();
}

absl::Status LocalImport::ReadAt(uint32_t file, uint64_t offset, absl::Span<char> dst) {
  const State& state = states_[file];
  CAIRN_ASSIGN_OR_RETURN(const int fd, OpenFile(file));
  const auto changed = [&] {
    return absl::FailedPreconditionError(absl::StrCat(state.path, ": has changed since the import began; import it again once nobody writes it any more"));
  };
  while (!dst.empty()) {
    const ssize_t got = ::pread(fd, dst.data(), dst.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read", state.path);
    if (got == 0) return changed();
    dst.remove_prefix(got);
    offset += got;
  }
  // Afterwards: what was changed before has been read, what comes later is not in these bytes.
  struct stat info = {};
  if (::fstat(fd, &info) != 0) return ErrnoStatus(errno, "stat", state.path);
  const bool same = S_ISREG(info.st_mode) && static_cast<uint64_t>(info.st_size) == state.size && info.st_mtim.tv_sec == state.seconds &&
                    info.st_mtim.tv_nsec == state.nanoseconds;
  return same ? absl::OkStatus() : changed();
}

std::string LocalImport::Identity() const {
  std::string identity;
  for (const State& state : states_) {
    std::error_code ignored;
    const std::string path = fs::absolute(state.path, ignored).lexically_normal().string();
    absl::StrAppend(&identity, path.size(), ":", path, " ", state.size, " ", state.seconds, ".", state.nanoseconds, "\n");
  }
  return identity;
}

}  // namespace cairn::transfer
