#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/io/file_tree.h"
#include "server/convert/fetched_files.h"

namespace cairn {

// Files of a FetchedFiles as what formats read. Only what is listed is there.

class FetchedSource final : public ByteSource {
 public:
  FetchedSource(std::shared_ptr<const FetchedFiles> files, uint32_t number, std::string name)
      : files_(std::move(files)), number_(number), name_(std::move(name)) {}
  uint64_t size() const override { return files_->file(number_).size; }
  const std::string& name() const override { return name_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override { return files_->Read(number_, offset, dst); }

 private:
  const std::shared_ptr<const FetchedFiles> files_;
  const uint32_t number_;
  const std::string name_;
};

// One file, and the folder in which it lies as far as that is listed.
class FetchedFile final : public SourceTree {
 public:
  FetchedFile(std::shared_ptr<const FetchedFiles> files, uint32_t number, std::string name)
      : files_(std::move(files)), number_(number), name_(std::move(name)) {}
  const std::string& name() const override { return name_; }
  bool is_directory() const override { return false; }
  absl::StatusOr<std::vector<std::string>> List() const override { return std::vector<std::string>{""}; }
  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) const override;
  absl::StatusOr<std::unique_ptr<SourceTree>> OpenParent() const override;

 private:
  const std::shared_ptr<const FetchedFiles> files_;
  const uint32_t number_;
  const std::string name_;
};

class FetchedFolder final : public SourceTree {
 public:
  // Those of `names` that begin with `prefix`.
  FetchedFolder(std::shared_ptr<const FetchedFiles> files, const FetchedFiles::Names& names, std::string prefix, std::string name)
      : files_(std::move(files)), names_(names), prefix_(std::move(prefix)), name_(std::move(name)) {}
  const std::string& name() const override { return name_; }
  bool is_directory() const override { return true; }
  absl::StatusOr<std::vector<std::string>> List() const override;
  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) const override;
  absl::StatusOr<std::unique_ptr<SourceTree>> OpenFolder(const std::string& folder) const override;

 private:
  const std::shared_ptr<const FetchedFiles> files_;  // Has the names.
  const FetchedFiles::Names& names_;
  const std::string prefix_;  // Empty, or with '/' at its end.
  const std::string name_;
};

}  // namespace cairn
