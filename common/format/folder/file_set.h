#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/io/file_tree.h"

namespace cairn {

// The files of a checkpoint, opened as they are needed.
class FileSet {
 public:
  // Files held open at once: a checkpoint may have thousands of shards, a process has a thousand descriptors.
  static constexpr size_t kMaxOpenFiles = 64;

  explicit FileSet(std::shared_ptr<const SourceTree> tree) : tree_(std::move(tree)) {}

  // Adds an open file.
  size_t Add(std::string name, std::unique_ptr<ByteSource> source) {
    files_.push_back(
        {.name = std::move(name), .size = source->size(), .source = std::move(source), .last_use = ++clock_});
    ++open_;
    CloseOldest();
    return files_.size() - 1;
  }

  // Valid until the next call.
  absl::StatusOr<const ByteSource*> Get(size_t number) {
    File& file = files_[number];
    file.last_use = ++clock_;
    if (file.source == nullptr) {
      CAIRN_ASSIGN_OR_RETURN(file.source, tree_->Open(file.name));
      ++open_;
      CloseOldest();
      if (file.source->size() != file.size) {
        return absl::DataLossError(absl::StrCat(file.source->name(), ": has ", file.source->size(),
                                                " bytes, expected ", file.size,
                                                ": it changed while it was read"));
      }
    }
    return file.source.get();
  }

 private:
  struct File {
    std::string name;
    uint64_t size = 0;
    std::unique_ptr<ByteSource> source;  // Null while closed.
    uint64_t last_use = 0;
  };

  // Never the one just used: there are two or more.
  void CloseOldest() {
    if (open_ <= kMaxOpenFiles) return;
    File* oldest = nullptr;
    for (File& file : files_) {
      if (file.source != nullptr && (oldest == nullptr || file.last_use < oldest->last_use)) oldest = &file;
    }
    oldest->source.reset();
    --open_;
  }

  const std::shared_ptr<const SourceTree> tree_;
  std::vector<File> files_;
  size_t open_ = 0;
  uint64_t clock_ = 0;
};

}  // namespace cairn
