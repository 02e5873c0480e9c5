#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/io/unique_fd.h"

namespace cairn {

struct DirectoryEntry {
  enum class Kind { kFile, kFolder, kOther };
  std::string name;
  Kind kind = Kind::kOther;
};

// The entries of an open folder without "." and "..", in no order. Symbolic links are kOther. `path` is for
// messages.
absl::StatusOr<std::vector<DirectoryEntry>> ReadDirectory(UniqueFd folder, const std::string& path);

}  // namespace cairn
