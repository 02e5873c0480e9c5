#include "common/io/file_name.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace cairn {

absl::Status CheckFileName(const std::string& tree, const std::string& name) {
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat(tree, ": file name \"", name, "\" ", why, "; expected a name inside the folder"));
  };
  if (name.empty()) return refuse("is empty");
  if (name.front() == '/') return refuse("is absolute");
  if (absl::StrContains(name, '\0')) return refuse("contains a NUL byte");
  for (absl::string_view segment : absl::StrSplit(name, '/')) {
    if (segment == "..") return refuse("leaves the folder");
    if (segment.empty() || segment == ".") return refuse("has an empty segment");
  }
  return absl::OkStatus();
}

}  // namespace cairn
