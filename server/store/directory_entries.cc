#include "server/store/directory_entries.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/string_view.h"
#include "server/store/store_errno.h"

namespace cairn {
namespace {

DirectoryEntry::Kind KindOf(int folder, const dirent& entry) {
  if (entry.d_type == DT_REG) return DirectoryEntry::Kind::kFile;
  if (entry.d_type == DT_DIR) return DirectoryEntry::Kind::kFolder;
  if (entry.d_type != DT_UNKNOWN) return DirectoryEntry::Kind::kOther;
  // Some file systems leave the type out.
  struct stat info;
  if (::fstatat(folder, entry.d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) return DirectoryEntry::Kind::kOther;
  if (S_ISREG(info.st_mode)) return DirectoryEntry::Kind::kFile;
  return S_ISDIR(info.st_mode) ? DirectoryEntry::Kind::kFolder : DirectoryEntry::Kind::kOther;
}

}  // namespace

absl::StatusOr<std::vector<DirectoryEntry>> ReadDirectory(UniqueFd folder, const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(folder.get()), &::closedir);
  if (stream == nullptr) return StoreErrno(errno, "read folder", path);
  const int fd = folder.release();
  std::vector<DirectoryEntry> entries;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) {
      if (errno != 0) return StoreErrno(errno, "read folder", path);
      return entries;
    }
    const absl::string_view name(entry->d_name);
    if (name == "." || name == "..") continue;
    entries.push_back({std::string(name), KindOf(fd, *entry)});
  }
}

}  // namespace cairn
