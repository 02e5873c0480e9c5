#include "server/store/scratch_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/store/directory_entries.h"
#include "server/store/store_errno.h"

namespace cairn {
namespace {

constexpr char kLockName[] = "lock";

absl::StatusOr<uint64_t> RandomNumber() {
  uint64_t number;
  if (::getrandom(&number, sizeof(number), 0) != sizeof(number))
    return StoreErrno(errno, "read", "random numbers");
  return number;
}

UniqueFd OpenFolderAt(int parent, const std::string& name) {
  return UniqueFd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// Removes the files of a folder whose lock the caller holds. The lock goes last, so that what a crash leaves
// is a dead folder again.
absl::StatusOr<uint64_t> RemoveFiles(int folder, const std::string& path) {
  UniqueFd listed(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!listed.valid()) return StoreErrno(errno, "open folder", path);
  CAIRN_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ReadDirectory(std::move(listed), path));
  uint64_t bytes = 0;
  for (const DirectoryEntry& entry : entries) {
    if (entry.kind != DirectoryEntry::Kind::kFile || entry.name == kLockName) continue;
    struct stat info;
    if (::fstatat(folder, entry.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (::unlinkat(folder, entry.name.c_str(), 0) != 0) {
      return StoreErrno(errno, "remove", absl::StrCat(path, "/", entry.name));
    }
    // A second link means that the process died right after it had sealed the object: the bytes stay.
    if (info.st_nlink == 1) bytes += static_cast<uint64_t>(info.st_size);
  }
  ::unlinkat(folder, kLockName, 0);
  return bytes;
}

}  // namespace

ScratchFolder::ScratchFolder(std::string path, UniqueFd fd, UniqueFd lock)
    : path_(std::move(path)), fd_(std::move(fd)), lock_(std::move(lock)) {}

ScratchFolder::~ScratchFolder() {
  ::unlinkat(fd_.get(), kLockName, 0);
  ::rmdir(path_.c_str());
}

std::string ScratchFolder::NextName() const { return absl::StrCat(next_.fetch_add(1)); }

std::string ScratchFolder::PathOf(absl::string_view name) const { return absl::StrCat(path_, "/", name); }

absl::StatusOr<std::unique_ptr<ScratchFolder>> ScratchFolder::Make(const std::string& parent) {
  // Between mkdir() and flock() the folder looks dead, and another process may remove it or hold its lock for
  // the purpose. Then a new name is taken.
  constexpr int kAttempts = 20;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t number, RandomNumber());
    const std::string path = absl::StrCat(parent, "/", absl::Hex(number, absl::kZeroPad16));
    if (::mkdir(path.c_str(), 0750) != 0) {
      if (errno == EEXIST) continue;
      return StoreErrno(errno, "make folder", path);
    }
    UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.valid()) {
      if (errno == ENOENT) continue;
      return StoreErrno(errno, "open folder", path);
    }
    const std::string lock_path = absl::StrCat(path, "/", kLockName);
    UniqueFd lock(::openat(folder.get(), kLockName, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
    if (!lock.valid()) {
      if (errno == ENOENT) continue;
      return StoreErrno(errno, "create", lock_path);
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) continue;
      return StoreErrno(errno, "lock", lock_path);
    }
    struct stat info;
    if (::fstat(lock.get(), &info) != 0) return StoreErrno(errno, "stat", lock_path);
    if (info.st_nlink == 0) continue;
    return std::unique_ptr<ScratchFolder>(new ScratchFolder(path, std::move(folder), std::move(lock)));
  }
  return absl::UnavailableError(absl::StrCat("make a folder in ", parent, ": other processes removed it ",
                                             kAttempts, " times; try again"));
}

absl::StatusOr<uint64_t> RemoveDeadScratchFolders(const std::string& parent) {
  const UniqueFd folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  UniqueFd listed(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || !listed.valid()) return StoreErrno(errno, "open folder", parent);
  CAIRN_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, ReadDirectory(std::move(listed), parent));
  uint64_t bytes = 0;
  for (const DirectoryEntry& entry : entries) {
    if (entry.kind != DirectoryEntry::Kind::kFolder) continue;
    const std::string path = absl::StrCat(parent, "/", entry.name);
    const UniqueFd scratch = OpenFolderAt(folder.get(), entry.name);
    if (!scratch.valid()) {
      if (errno == ENOENT) continue;
      return StoreErrno(errno, "open folder", path);
    }
    const UniqueFd lock(::openat(scratch.get(), kLockName, O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    if (lock.valid()) {
      if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) continue;  // Its process lives.
      CAIRN_ASSIGN_OR_RETURN(const uint64_t removed, RemoveFiles(scratch.get(), path));
      bytes += removed;
    } else if (errno != ENOENT) {
      return StoreErrno(errno, "open", absl::StrCat(path, "/", kLockName));
    }
    // Without a lock file it is just being made, or its maker died on the way; it goes only if it is empty,
    // and a living maker then takes another name.
    ::unlinkat(folder.get(), entry.name.c_str(), AT_REMOVEDIR);
  }
  return bytes;
}

}  // namespace cairn
