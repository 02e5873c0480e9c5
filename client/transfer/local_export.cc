#include "client/transfer/local_export.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn::transfer {

namespace fs = std::filesystem;

absl::StatusOr<std::unique_ptr<LocalExport>> LocalExport::Create(const std::string& path, SinkTreeOptions options) {
  std::unique_ptr<LocalExport> files(new LocalExport(path, options));
  CAIRN_RETURN_IF_ERROR(files->Restart());
  return files;
}

// The daemon need not know where on this machine it lies.
std::string LocalExport::name() const {
  std::error_code ignored;
  fs::path path = fs::absolute(path_, ignored).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return absl::StrCat(path.filename().string(), tree_->is_directory() ? "/" : "");
}

absl::Status LocalExport::Begin(const std::string& name) {
  // What the folder has is the caller's, links to elsewhere included; what the daemon names is not to follow them.
  fs::path folder(path_);
  const fs::path parents = fs::path(name).parent_path();
  for (const fs::path& segment : parents) {
    folder /= segment;
    std::error_code ignored;
    if (fs::is_symlink(folder, ignored)) {
      return absl::InvalidArgumentError(absl::StrCat(path_, ": file name \"", name, "\" leads through the link ", folder.string(),
                                                     "; expected a name inside the folder"));
    }
  }
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ByteSink> file, tree_->Create(name));
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::Status LocalExport::Finish(uint32_t file) {
  CAIRN_RETURN_IF_ERROR(files_[file]->Close());
  files_[file].reset();
  return absl::OkStatus();
}

absl::Status LocalExport::Commit() {
  files_.clear();
  return tree_->Commit();
}

absl::Status LocalExport::Restart() {
  files_.clear();
  tree_.reset();
  CAIRN_ASSIGN_OR_RETURN(tree_, CreateSinkTree(path_, options_));
  return absl::OkStatus();
}

}  // namespace cairn::transfer
