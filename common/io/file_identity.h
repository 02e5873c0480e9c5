#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace cairn {

// What tells one state of a file (or of the files of a folder) from another without reading it: absolute
// path, names, sizes, times of the last write and of the last change, be it of a name or a mode. Of a file also what is read with it: all beside an index, configurations beside
// weights.
absl::StatusOr<std::string> FileIdentity(const std::string& path);

}  // namespace cairn
