#include "server/convert/fetched_tree.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/io/file_name.h"

namespace cairn {

absl::StatusOr<std::unique_ptr<ByteSource>> FetchedFile::Open(const std::string& name) const {
  if (!name.empty()) return absl::InvalidArgumentError(absl::StrCat(name_, ": is one file, not a folder with \"", name, "\""));
  return std::make_unique<FetchedSource>(files_, number_, name_);
}

absl::StatusOr<std::unique_ptr<SourceTree>> FetchedFile::OpenParent() const {
  if (files_->beside().empty()) return SourceTree::OpenParent();
  return std::make_unique<FetchedFolder>(files_, files_->beside(), "", absl::StrCat("the folder of ", name_));
}

absl::StatusOr<std::vector<std::string>> FetchedFolder::List() const {
  std::vector<std::string> names;
  for (auto it = names_.lower_bound(prefix_); it != names_.end() && absl::StartsWith(it->first, prefix_); ++it) {
    const absl::string_view rest = absl::StripPrefix(it->first, prefix_);
    if (!absl::StrContains(rest, '/')) names.emplace_back(rest);
  }
  return names;
}

absl::StatusOr<std::unique_ptr<ByteSource>> FetchedFolder::Open(const std::string& name) const {
  CAIRN_RETURN_IF_ERROR(CheckFileName(name_, name));
  const auto found = names_.find(absl::StrCat(prefix_, name));
  if (found == names_.end()) {
    return absl::NotFoundError(absl::StrCat(name_, ": the file \"", name, "\" is none of those that the client has"));
  }
  return std::make_unique<FetchedSource>(files_, found->second, absl::StrCat(name_, "/", name));
}

absl::StatusOr<std::unique_ptr<SourceTree>> FetchedFolder::OpenFolder(const std::string& folder) const {
  CAIRN_RETURN_IF_ERROR(CheckFileName(name_, folder));
  std::string prefix = absl::StrCat(prefix_, folder, "/");
  const auto first = names_.lower_bound(prefix);
  if (first == names_.end() || !absl::StartsWith(first->first, prefix)) return SourceTree::OpenFolder(folder);
  return std::make_unique<FetchedFolder>(files_, names_, std::move(prefix), absl::StrCat(name_, "/", folder));
}

}  // namespace cairn
