#include "server/store/object_folders.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/store/store_errno.h"

namespace cairn {
namespace {

constexpr mode_t kFolderMode = 0750;

absl::string_view Parent(absl::string_view key) {
  const size_t slash = key.rfind('/');
  return slash == absl::string_view::npos ? absl::string_view() : key.substr(0, slash);
}

}  // namespace

absl::StatusOr<UniqueFd> OpenOrMakeFolder(const std::string& path) {
  if (::mkdir(path.c_str(), kFolderMode) != 0 && errno != EEXIST)
    return StoreErrno(errno, "make folder", path);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return StoreErrno(errno, "open folder", path);
  return fd;
}

absl::StatusOr<ObjectFolders> ObjectFolders::Open(const std::string& path) {
  CAIRN_ASSIGN_OR_RETURN(UniqueFd fd, OpenOrMakeFolder(path));
  return ObjectFolders(path, std::move(fd));
}

std::string ObjectFolders::PathOf(absl::string_view key) const { return absl::StrCat(path_, "/", key); }

absl::Status ObjectFolders::MakeParents(absl::string_view key) const {
  for (size_t slash = key.find('/'); slash != absl::string_view::npos; slash = key.find('/', slash + 1)) {
    const std::string folder(key.substr(0, slash));
    if (::mkdirat(fd_.get(), folder.c_str(), kFolderMode) == 0 || errno == EEXIST) continue;
    // Above it, a Delete() has removed a folder or a file is in the way: the caller finds out when it uses
    // the name.
    if (errno == ENOENT || errno == ENOTDIR) return absl::OkStatus();
    return StoreErrno(errno, "make folder", PathOf(folder));
  }
  return absl::OkStatus();
}

absl::Status ObjectFolders::SyncParents(absl::string_view key) const {
  for (absl::string_view parent = Parent(key); !parent.empty(); parent = Parent(parent)) {
    const std::string folder(parent);
    const UniqueFd fd(::openat(fd_.get(), folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) {
      if (errno == ENOENT) continue;  // The object was deleted meanwhile, and its folder with it.
      return StoreErrno(errno, "open folder", PathOf(folder));
    }
    if (::fsync(fd.get()) != 0) return StoreErrno(errno, "fsync", PathOf(folder));
  }
  if (::fsync(fd_.get()) != 0) return StoreErrno(errno, "fsync", path_);
  return absl::OkStatus();
}

void ObjectFolders::RemoveEmptyParents(absl::string_view key) const {
  for (absl::string_view parent = Parent(key); !parent.empty(); parent = Parent(parent)) {
    if (::unlinkat(fd_.get(), std::string(parent).c_str(), AT_REMOVEDIR) != 0) return;
  }
}

}  // namespace cairn
