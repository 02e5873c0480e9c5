#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cairn/files.h"
#include "common/io/file_tree.h"

namespace cairn::transfer {

// An export into a file or folder of this machine: nothing is visible before it is whole, and a killed process leaves
// what is there as it was. A path that ends in '/', or is a folder, is one.
class LocalExport final : public client::ExportTarget {
 public:
  // ALREADY_EXISTS at once, unless `options.overwrite`.
  static absl::StatusOr<std::unique_ptr<LocalExport>> Create(const std::string& path, SinkTreeOptions options);

  std::string name() const override;
  std::vector<std::string> existing_files() const override { return tree_->ExistingFiles(); }
  // INVALID_ARGUMENT for names that leave the folder, also by a link in it.
  absl::Status Begin(const std::string& name) override;
  absl::Status Append(uint32_t file, absl::string_view bytes) override { return files_[file]->Append(bytes); }
  absl::Status Finish(uint32_t file) override;
  absl::Status Commit() override;
  absl::Status Restart() override;

 private:
  LocalExport(std::string path, SinkTreeOptions options) : path_(std::move(path)), options_(options) {}

  const std::string path_;
  const SinkTreeOptions options_;
  std::unique_ptr<SinkTree> tree_;
  std::vector<std::unique_ptr<ByteSink>> files_;  // Null once finished. They go before the tree.
};

}  // namespace cairn::transfer
