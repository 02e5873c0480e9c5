#include "server/store/local_object_list.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/store/directory_entries.h"
#include "server/store/store_errno.h"

namespace cairn {
namespace {

class Walk {
 public:
  Walk(const ObjectFolders& objects, absl::string_view prefix, absl::string_view start_after, size_t limit)
      : objects_(objects), prefix_(prefix), start_after_(start_after), limit_(limit) {}

  // `folder` is empty or ends with '/'. The names that are opened come from the disk, never from the prefix,
  // which is anybody's text.
  absl::Status Visit(const std::string& folder) {
    if (full()) return absl::OkStatus();
    UniqueFd fd(::openat(objects_.fd(), folder.empty() ? "." : folder.c_str(),
                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd.valid()) {
      if (errno == ENOENT || errno == ENOTDIR) return absl::OkStatus();  // Deleted meanwhile.
      return StoreErrno(errno, "open folder", objects_.PathOf(folder));
    }
    CAIRN_ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries,
                           ReadDirectory(std::move(fd), objects_.PathOf(folder)));
    std::vector<std::string>
        found;  // Folders with a '/' at the end, which puts them where their keys belong.
    for (const DirectoryEntry& entry : entries) {
      if (entry.kind == DirectoryEntry::Kind::kOther) continue;
      std::string key = absl::StrCat(folder, entry.name);
      if (!CheckObjectKey(key).ok()) continue;
      if (entry.kind == DirectoryEntry::Kind::kFolder) {
        key += '/';
        if (MayHoldAnswers(key)) found.push_back(std::move(key));
      } else if (absl::StartsWith(key, prefix_) && key > start_after_) {
        found.push_back(std::move(key));
      }
    }
    std::sort(found.begin(), found.end());
    for (std::string& key : found) {
      if (full()) break;
      CAIRN_RETURN_IF_ERROR(key.back() == '/' ? Visit(key) : Add(std::move(key)));
    }
    return absl::OkStatus();
  }

  std::vector<ObjectStore::ObjectInfo> TakeListed() { return std::move(listed_); }

 private:
  bool full() const { return listed_.size() >= limit_; }

  bool MayHoldAnswers(absl::string_view folder) const {
    if (!absl::StartsWith(folder, prefix_) && !absl::StartsWith(prefix_, folder)) return false;
    return folder > start_after_ || absl::StartsWith(start_after_, folder);
  }

  absl::Status Add(std::string key) {
    struct stat info;
    if (::fstatat(objects_.fd(), key.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT || errno == ENOTDIR) return absl::OkStatus();  // Deleted meanwhile.
      return StoreErrno(errno, "stat", objects_.PathOf(key));
    }
    if (S_ISREG(info.st_mode)) listed_.push_back({std::move(key), static_cast<uint64_t>(info.st_size)});
    return absl::OkStatus();
  }

  const ObjectFolders& objects_;
  const absl::string_view prefix_;
  const absl::string_view start_after_;
  const size_t limit_;
  std::vector<ObjectStore::ObjectInfo> listed_;
};

}  // namespace

absl::StatusOr<std::vector<ObjectStore::ObjectInfo>> ListLocalObjects(const ObjectFolders& objects,
                                                                      absl::string_view prefix,
                                                                      absl::string_view start_after,
                                                                      size_t limit) {
  Walk walk(objects, prefix, start_after, limit);
  CAIRN_RETURN_IF_ERROR(walk.Visit(""));
  return walk.TakeListed();
}

}  // namespace cairn
