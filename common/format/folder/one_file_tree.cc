#include "common/format/folder/one_file_tree.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace cairn {
namespace {

std::string PathOf(const std::string& folder, const std::string& name) {
  if (name.empty()) return folder;
  return absl::StrCat(folder, absl::EndsWith(folder, "/") ? "" : "/", name);
}

class OneFileSource final : public SourceTree {
 public:
  OneFileSource(std::shared_ptr<const SourceTree> folder, std::string file)
      : folder_(std::move(folder)), file_(std::move(file)), name_(PathOf(folder_->name(), file_)) {}

  const std::string& name() const override { return name_; }
  bool is_directory() const override { return false; }
  absl::StatusOr<std::vector<std::string>> List() const override { return std::vector<std::string>{""}; }
  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) const override {
    if (name.empty()) return folder_->Open(file_);
    return absl::InvalidArgumentError(absl::StrCat(name_, ": is one file, not a folder with \"", name, "\""));
  }

 private:
  const std::shared_ptr<const SourceTree> folder_;
  const std::string file_;
  const std::string name_;
};

class OneFileSink final : public SinkTree {
 public:
  OneFileSink(std::shared_ptr<SinkTree> folder, std::string file)
      : folder_(std::move(folder)), file_(std::move(file)), name_(PathOf(folder_->name(), file_)) {}

  const std::string& name() const override { return name_; }
  absl::StatusOr<std::unique_ptr<ByteSink>> Create(const std::string& name) override {
    if (name.empty()) return folder_->Create(file_);
    return absl::InvalidArgumentError(absl::StrCat(name_, ": is one file, not a folder for \"", name, "\""));
  }
  absl::Status Commit() override { return absl::OkStatus(); }

 private:
  const std::shared_ptr<SinkTree> folder_;
  const std::string file_;
  const std::string name_;
};

}  // namespace

std::unique_ptr<SourceTree> FileOfTree(std::shared_ptr<const SourceTree> folder, std::string name) {
  return std::make_unique<OneFileSource>(std::move(folder), std::move(name));
}

std::unique_ptr<SinkTree> FileOfTree(std::shared_ptr<SinkTree> folder, std::string name) {
  return std::make_unique<OneFileSink>(std::move(folder), std::move(name));
}

}  // namespace cairn
