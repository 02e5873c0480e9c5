#include "client/cli/metadata_option.h"

#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"

namespace cairn::cli {

absl::StatusOr<std::map<std::string, std::string>> ParseMetadata(const std::vector<std::string>& items) {
  std::map<std::string, std::string> metadata;
  for (const std::string& item : items) {
    const size_t equals = item.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return UsageError(absl::StrCat("--metadata: expected KEY=VALUE, found \"", item, "\""));
    }
    if (!metadata.emplace(item.substr(0, equals), item.substr(equals + 1)).second) {
      return UsageError(absl::StrCat("--metadata: \"", item.substr(0, equals), "\" is given twice"));
    }
  }
  return metadata;
}

}  // namespace cairn::cli
