#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/io/unique_fd.h"

namespace cairn {

// The folder `objects/` of a local store and the folders that keys make below it. Thread-safe, also against
// other processes. Keys are checked already.
class ObjectFolders {
 public:
  // Makes the folder if it is missing.
  static absl::StatusOr<ObjectFolders> Open(const std::string& path);

  // For openat() and its relatives, with a key as the name.
  int fd() const { return fd_.get(); }
  // For messages.
  std::string PathOf(absl::string_view key) const;

  // Makes the folders above `key`. A Delete() may remove them again at any time, until a file lies in them.
  absl::Status MakeParents(absl::string_view key) const;

  // fsync of every folder from the one that holds `key` up to objects/. All of them, and not only those that
  // this process made: whoever made the others may not have come to its fsync yet.
  absl::Status SyncParents(absl::string_view key) const;

  // Removes the folders above `key` that are empty.
  void RemoveEmptyParents(absl::string_view key) const;

 private:
  ObjectFolders(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  UniqueFd fd_;
};

// Makes one folder, if missing, and opens it.
absl::StatusOr<UniqueFd> OpenOrMakeFolder(const std::string& path);

}  // namespace cairn
