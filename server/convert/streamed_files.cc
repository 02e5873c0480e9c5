#include "server/convert/streamed_files.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/crc32c.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/io/file_name.h"

namespace cairn {
namespace {

// Stands before the receiver and leaves out what it has already.
class Skipping {
 public:
  Skipping(FileReceiver& receiver, const StreamPrefix& prefix, const std::string& name)
      : receiver_(receiver), prefix_(prefix), name_(name) {}

  absl::Status Begin(uint32_t number, const std::string& name) {
    return marks_++ < prefix_.marks ? absl::OkStatus() : receiver_.Begin(number, name);
  }

  absl::Status Finish(uint32_t number) { return marks_++ < prefix_.marks ? absl::OkStatus() : receiver_.Finish(number); }

  absl::Status Take(uint32_t number, uint64_t offset, Buffer bytes) {
    const uint64_t known = std::min<uint64_t>(bytes.size(), prefix_.bytes - bytes_);
    if (known > 0) {
      crc_ = ExtendCrc32c(crc_, bytes.bytes().substr(0, known));
      bytes_ += known;
      if (bytes_ == prefix_.bytes && crc_ != prefix_.crc32c) return Changed("the bytes that were sent before are others now");
    }
    if (known == bytes.size()) return absl::OkStatus();
    return receiver_.Take(number, offset + known, bytes.Slice(known, bytes.size() - known));
  }

  absl::Status Complete() const {
    if (bytes_ < prefix_.bytes || marks_ < prefix_.marks) {
      return Changed(absl::StrCat("there are only ", bytes_, " bytes of the ", prefix_.bytes, " to be left out"));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Changed(absl::string_view why) const {
    return WithErrorInfo(absl::FailedPreconditionError(absl::StrCat(name_, ": cannot go on with the export: ", why, "; begin it anew")),
                         {"EXPORT_CHANGED", {}});
  }

  FileReceiver& receiver_;
  const StreamPrefix prefix_;
  const std::string& name_;
  uint64_t marks_ = 0;
  uint64_t bytes_ = 0;  // Up to those of the prefix.
  uint32_t crc_ = 0;
};

// Gathers what is appended into chunks of one size, wherever the pieces end, so that a stream made again is cut alike.
class StreamedFile final : public ByteSink {
 public:
  // `open` counts the files that are, and outlives this object, as `out` does.
  StreamedFile(Skipping& out, uint32_t number, std::string name, uint64_t chunk_bytes, int& open)
      : out_(out), number_(number), name_(std::move(name)), chunk_bytes_(chunk_bytes), open_(open) {
    ++open_;
  }

  const std::string& name() const override { return name_; }
  uint64_t size() const override { return sent_ + chunk_.size(); }

  absl::Status Append(absl::string_view bytes) override {
    while (!bytes.empty()) {
      if (chunk_.capacity() == 0) chunk_.reserve(std::min<uint64_t>(chunk_bytes_, std::max<uint64_t>(bytes.size(), kFirstBytes)));
      const size_t taken = std::min<uint64_t>(bytes.size(), chunk_bytes_ - chunk_.size());
      chunk_.append(bytes.data(), taken);
      bytes.remove_prefix(taken);
      if (chunk_.size() == chunk_bytes_) CAIRN_RETURN_IF_ERROR(Send());
    }
    return absl::OkStatus();
  }

  absl::Status Close() override {
    CAIRN_RETURN_IF_ERROR(Send());
    --open_;
    return out_.Finish(number_);
  }

 private:
  static constexpr uint64_t kFirstBytes = 4096;

  absl::Status Send() {
    if (chunk_.empty()) return absl::OkStatus();
    const uint64_t offset = std::exchange(sent_, sent_ + chunk_.size());
    return out_.Take(number_, offset, Buffer::FromString(std::exchange(chunk_, {})));
  }

  Skipping& out_;
  const uint32_t number_;
  const std::string name_;
  const uint64_t chunk_bytes_;
  int& open_;
  uint64_t sent_ = 0;
  std::string chunk_;
};

class StreamedTree final : public SinkTree {
 public:
  StreamedTree(FileReceiver& receiver, StreamedFilesOptions options)
      : options_(std::move(options)), out_(receiver, options_.skip, options_.name) {}

  const std::string& name() const override { return options_.name; }
  bool is_directory() const override { return absl::EndsWith(options_.name, "/"); }
  std::vector<std::string> ExistingFiles() const override { return options_.existing_files; }

  absl::StatusOr<std::unique_ptr<ByteSink>> Create(const std::string& name) override {
    if (name.empty() && is_directory()) {
      return absl::InvalidArgumentError(absl::StrCat(options_.name, ": is a folder, expected the path of a file"));
    }
    if (files_ > 0 && (lone_ || name.empty())) {
      return absl::InvalidArgumentError(absl::StrCat(options_.name, ": cannot be both one file and a folder of files"));
    }
    if (!name.empty()) CAIRN_RETURN_IF_ERROR(CheckFileName(options_.name, name));
    lone_ = name.empty();
    CAIRN_RETURN_IF_ERROR(out_.Begin(files_, name));
    return std::make_unique<StreamedFile>(out_, files_++, lone_ ? options_.name : absl::StrCat(options_.name, "/", name),
                                          options_.chunk_bytes, open_);
  }

  absl::Status Commit() override {
    if (open_ > 0) return absl::FailedPreconditionError(absl::StrCat(options_.name, ": a file was not closed before the commit"));
    return out_.Complete();
  }

 private:
  const StreamedFilesOptions options_;
  Skipping out_;
  uint32_t files_ = 0;
  bool lone_ = false;
  int open_ = 0;
};

}  // namespace

std::unique_ptr<SinkTree> StreamFiles(FileReceiver& receiver, StreamedFilesOptions options) {
  return std::make_unique<StreamedTree>(receiver, std::move(options));
}

}  // namespace cairn
