#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/io/unique_fd.h"

namespace cairn {

// A folder `tmp/<random>/` for the unsealed files of one open store. It holds a locked file `lock` for as
// long as it lives: a folder whose lock is free belongs to a dead process. Thread-safe.
class ScratchFolder {
 public:
  // Makes a folder below `parent`, which must exist.
  static absl::StatusOr<std::unique_ptr<ScratchFolder>> Make(const std::string& parent);
  // Removes the folder. Its files are gone by then.
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  // For openat() and its relatives.
  int fd() const { return fd_.get(); }
  // A file name that has not been used in this folder.
  std::string NextName() const;
  // For messages.
  std::string PathOf(absl::string_view name) const;

 private:
  ScratchFolder(std::string path, UniqueFd fd, UniqueFd lock);

  const std::string path_;
  const UniqueFd fd_;
  const UniqueFd lock_;
  mutable std::atomic<uint64_t> next_{0};
};

// Removes the scratch folders below `parent` whose processes are dead. Returns the number of bytes set free.
absl::StatusOr<uint64_t> RemoveDeadScratchFolders(const std::string& parent);

}  // namespace cairn
