#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/io/unique_fd.h"

namespace cairn {

// The directory in which one daemon keeps everything, held for as long as this object lives (and set free by
// the kernel if the process dies). Files of its own: `LOCK`, `VERSION`; LOCAL_STORE.md has their bytes.
class DataDirectory {
 public:
  DataDirectory(DataDirectory&&) = default;
  DataDirectory& operator=(DataDirectory&&) = delete;
  ~DataDirectory();

  // Absolute, without a '/' at the end.
  const std::string& path() const { return path_; }

 private:
  friend absl::StatusOr<DataDirectory> OpenDataDirectory(absl::string_view path);
  DataDirectory(std::string path, UniqueFd lock);

  std::string path_;
  UniqueFd lock_;
};

// Makes the directory (0700) if it is missing; its parent must exist.
//   FAILED_PRECONDITION  another process holds it (named by process id and host); it was written by a newer
//   version;
//                        it is no directory; its file system has no locks
//   PERMISSION_DENIED    it may not be written
//   DATA_LOSS            its VERSION file is damaged
//   NOT_FOUND            its parent is missing
absl::StatusOr<DataDirectory> OpenDataDirectory(absl::string_view path);

// Whether what is written below `path` goes to memory (tmpfs, ramfs), so that no device is waited for. False where that is not
// known.
bool LiesInMemory(const std::string& path);

}  // namespace cairn
