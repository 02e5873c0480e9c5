#include "server/store/data_directory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"
#include "server/store/store_errno.h"

namespace cairn {
namespace {

constexpr uint64_t kVersion = 1;
constexpr char kVersionPrefix[] = "cairn-data ";
constexpr uint64_t kMaxVersionFileBytes = 64;

absl::Status MakeDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) {
    return SyncDirectory(std::filesystem::path(path).parent_path().string());
  }
  const int error = errno;
  if (error == ENOENT) {
    return absl::NotFoundError(
        absl::StrCat("data directory ", path, ": its parent directory is missing; make it first"));
  }
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return StoreErrno(error, "make data directory", path);
  if (S_ISDIR(info.st_mode)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("data directory ", path, ": expected a directory, found a file"));
}

absl::Status CheckWritable(const std::string& path) {
  if (::faccessat(AT_FDCWD, path.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) == 0) return absl::OkStatus();
  return StoreErrno(errno, "write in data directory", path);
}

std::string HostName() {
  char name[256] = {};
  if (::gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') return "unknown";
  return name;
}

// "pid N, host H" from the LOCK file. The holder may not have come to write it yet.
std::string DescribeHolder(int lock) {
  char text[512];
  const ssize_t n = ::pread(lock, text, sizeof(text), 0);
  const std::vector<absl::string_view> lines =
      absl::StrSplit(absl::string_view(text, n > 0 ? static_cast<size_t>(n) : 0), '\n');
  absl::string_view pid = lines[0];
  absl::string_view host = lines.size() > 1 ? lines[1] : "";
  if (!absl::ConsumePrefix(&pid, "pid ")) pid = "unknown";
  if (!absl::ConsumePrefix(&host, "host ")) host = "unknown";
  return absl::StrCat("pid ", absl::CHexEscape(pid), ", host ", absl::CHexEscape(host));
}

absl::StatusOr<UniqueFd> TakeLock(const std::string& directory) {
  const std::string path = absl::StrCat(directory, "/LOCK");
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return StoreErrno(errno, "open", path);
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) {
      return absl::FailedPreconditionError(absl::StrCat("another cairnd (", DescribeHolder(lock.get()),
                                                        ") uses this data directory: ", directory,
                                                        "; stop it or choose another directory"));
    }
    return absl::FailedPreconditionError(absl::StrCat(
        StoreErrno(errno, "lock", path).message(), "; the data directory needs a file system with flock()"));
  }
  // Only for the message above, so a full disk is no reason to stay away. The file is never removed: a
  // process that has it open already would then lock a file that nobody else sees.
  const std::string text = absl::StrCat("pid ", ::getpid(), "\nhost ", HostName(), "\n");
  if (::ftruncate(lock.get(), 0) == 0) (void)!::pwrite(lock.get(), text.data(), text.size(), 0);
  return lock;
}

absl::Status CheckVersion(const std::string& directory) {
  const std::string path = absl::StrCat(directory, "/VERSION");
  const absl::StatusOr<std::string> text = ReadSmallFile(path, kMaxVersionFileBytes);
  if (absl::IsNotFound(text.status())) {
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSink> sink, CreateFileSink(path));
    CAIRN_RETURN_IF_ERROR(sink->Append(absl::StrCat(kVersionPrefix, kVersion, "\n")));
    return sink->Close();
  }
  if (!text.ok() && !absl::IsResourceExhausted(text.status())) return text.status();

  const absl::Status damaged = absl::DataLossError(absl::StrCat(
      path, ": expected \"", kVersionPrefix, kVersion, "\" and a line feed, found ",
      text.ok() ? absl::StrCat("\"", absl::CHexEscape(*text), "\"") : std::string(text.status().message()),
      "; restore the file from a backup, after checking that this is the right directory"));
  if (!text.ok()) return damaged;
  absl::string_view number = *text;
  uint64_t version = 0;
  if (!absl::ConsumePrefix(&number, kVersionPrefix) || !absl::ConsumeSuffix(&number, "\n") ||
      !absl::SimpleAtoi(number, &version) || number != absl::StrCat(version) || version == 0) {
    return damaged;
  }
  if (version > kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": data directory of version ", version,
                                                      ", this program supports up to ", kVersion,
                                                      "; upgrade the program or choose another directory"));
  }
  return absl::OkStatus();
}

}  // namespace

DataDirectory::DataDirectory(std::string path, UniqueFd lock)
    : path_(std::move(path)), lock_(std::move(lock)) {}

DataDirectory::~DataDirectory() {
  // Nobody's process id shall be shown while nobody holds the lock.
  if (lock_.valid()) (void)!::ftruncate(lock_.get(), 0);
}

absl::StatusOr<DataDirectory> OpenDataDirectory(absl::string_view path) {
  if (path.empty()) return absl::InvalidArgumentError("no data directory given");
  std::error_code failed;
  const std::filesystem::path absolute = std::filesystem::absolute(std::string(path), failed);
  if (failed) return StoreErrno(failed.value(), "find", path);
  std::string directory = absolute.lexically_normal().string();
  if (directory.size() > 1 && directory.back() == '/') directory.pop_back();

  CAIRN_RETURN_IF_ERROR(MakeDirectory(directory));
  CAIRN_RETURN_IF_ERROR(CheckWritable(directory));
  CAIRN_ASSIGN_OR_RETURN(UniqueFd lock, TakeLock(directory));
  CAIRN_RETURN_IF_ERROR(CheckVersion(directory));
  return DataDirectory(std::move(directory), std::move(lock));
}

bool LiesInMemory(const std::string& path) {
  struct statfs info;
  return ::statfs(path.c_str(), &info) == 0 && (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
}

}  // namespace cairn
