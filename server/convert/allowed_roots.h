#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/io/file_tree.h"

namespace cairn {

// The folders of this machine that callers of the daemon may name files in. The daemon reads and writes with its own
// rights, so nothing outside them is touched on a caller's word: no "..", and no link that leads out.
// Thread-safe.
class AllowedRoots {
 public:
  AllowedRoots() = default;  // None.
  // Existing folders. NOT_FOUND, INVALID_ARGUMENT for a path that is not absolute or no folder.
  static absl::StatusOr<AllowedRoots> Make(const std::vector<std::string>& folders);

  // PERMISSION_DENIED outside the folders, with those there are.
  absl::StatusOr<std::unique_ptr<SourceTree>> OpenSource(const std::string& path) const;
  // The folder that it will lie in must exist. Whoever may change the folders themselves while files are moved into
  // place could still lead the writer elsewhere: they are the operator's.
  absl::StatusOr<std::unique_ptr<SinkTree>> CreateTarget(const std::string& path, SinkTreeOptions options) const;

  const std::vector<std::string>& folders() const { return folders_; }

 private:
  // The one that `path`, made canonical as far as it exists, lies in.
  absl::StatusOr<std::string> RootOf(const std::string& path, const std::string& canonical) const;
  absl::Status CheckForm(const std::string& path) const;

  std::vector<std::string> folders_;  // Canonical.
};

}  // namespace cairn
