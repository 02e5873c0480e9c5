// `convert_with_holes SOURCE TARGET`: what `cairn convert --dtype keep` does, into files that have holes where the bytes are
// zeros. So test_large.py has files of more than 5 GiB of every format that take no space.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/convert/convert.h"
#include "common/convert/convert_plan.h"
#include "common/format/checkpoint_file.h"

namespace cairn {
namespace {

// Blocks of the file system, where a hole can be.
constexpr uint64_t kBlock = 4096;

absl::Status Failed(const std::string& what, const std::string& name) {
  return absl::ErrnoToStatus(errno, absl::StrCat(what, " ", name));
}

class SinkWithHoles final : public ByteSink {
 public:
  SinkWithHoles(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  ~SinkWithHoles() override { ::close(fd_); }

  const std::string& name() const override { return name_; }
  uint64_t size() const override { return size_; }

  absl::Status Append(absl::string_view bytes) override {
    while (!bytes.empty()) {
      // Up to the next block's begin; whole blocks of one kind go together.
      uint64_t length = std::min<uint64_t>(bytes.size(), kBlock - size_ % kBlock);
      const bool zeros = IsZeros(bytes.substr(0, length));
      while (length < bytes.size() && IsZeros(bytes.substr(length, kBlock)) == zeros) {
        length += std::min<uint64_t>(kBlock, bytes.size() - length);
      }
      if (!zeros) CAIRN_RETURN_IF_ERROR(WriteAt(bytes.substr(0, length)));
      size_ += length;
      bytes.remove_prefix(length);
    }
    return absl::OkStatus();
  }

  absl::Status Close() override {
    return ::ftruncate(fd_, static_cast<off_t>(size_)) == 0 ? absl::OkStatus() : Failed("truncate", name_);
  }

 private:
  static bool IsZeros(absl::string_view bytes) { return bytes.find_first_not_of('\0') == absl::string_view::npos; }

  absl::Status WriteAt(absl::string_view bytes) {
    uint64_t at = size_;
    while (!bytes.empty()) {
      const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at));
      if (written <= 0) return Failed("write", name_);
      at += static_cast<uint64_t>(written);
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  const int fd_;
  const std::string name_;
  uint64_t size_ = 0;
};

class TreeWithHoles final : public SinkTree {
 public:
  explicit TreeWithHoles(std::string path) : path_(std::move(path)) {}
  const std::string& name() const override { return path_; }
  bool is_directory() const override { return path_.back() == '/'; }
  absl::StatusOr<std::unique_ptr<ByteSink>> Create(const std::string& name) override {
    std::string path = path_;
    if (!name.empty()) {
      path = (std::filesystem::path(path) / name).string();
      std::error_code ignored;  // What cannot be made shows when the file is opened.
      std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
    }
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return Failed("create", path);
    return std::make_unique<SinkWithHoles>(fd, path);
  }
  absl::Status Commit() override { return absl::OkStatus(); }

 private:
  const std::string path_;
};

absl::Status Run(const std::string& source_text, const std::string& target_text) {
  CAIRN_ASSIGN_OR_RETURN(FileSpec source, ParseFileSpec(source_text));
  CAIRN_RETURN_IF_ERROR(DetectFormatOf(source));
  CAIRN_ASSIGN_OR_RETURN(const FileSpec target, ParseFileSpec(target_text));
  CAIRN_ASSIGN_OR_RETURN(const TargetFile file, ResolveTarget(target, TargetFileOptions()));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointReader> reader, OpenCheckpointFile(source, ReadLimits()));
  CAIRN_ASSIGN_OR_RETURN(const ConvertPlan plan, MakeConvertPlan(reader->index(), PlanOptions()));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointWriter> writer,
                         file.format->Create(std::make_shared<TreeWithHoles>(file.path), file.options));
  return RunConvert(*reader, plan, *writer, ConvertOptions());
}

}  // namespace
}  // namespace cairn

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " SOURCE TARGET\n";
    return 2;
  }
  const absl::Status status = cairn::Run(argv[1], argv[2]);
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
