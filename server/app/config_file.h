#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/app/option_table.h"

namespace cairn {

// One option as a configuration file gives it; its value is not checked yet.
struct ConfigEntry {
  const OptionSpec* spec;
  std::string source;  // "cairnd.yaml:3"
  std::vector<std::string> values;
};

// Reads a YAML file of `key: value` lines. INVALID_ARGUMENT (see BadOption()) for anything else in it, for unknown
// keys and for a key that comes twice; NOT_FOUND or PERMISSION_DENIED if it cannot be read.
absl::StatusOr<std::vector<ConfigEntry>> ReadConfigFile(const std::string& path);

}  // namespace cairn
