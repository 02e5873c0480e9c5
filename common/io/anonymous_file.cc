#include "common/io/anonymous_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"
#include "common/io/unique_fd.h"

namespace cairn {
namespace {

constexpr int kTries = 16;  // A name of six random characters may be taken.

absl::StatusOr<UniqueFd> OpenWithoutName(const std::string& folder) {
  UniqueFd fd(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600));
  if (fd.valid()) return fd;
  // File systems that know no such files, and kernels that take the flag for another.
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) return ErrnoStatus(errno, "create a temporary file in", folder);
  for (int i = 0; i < kTries; ++i) {
    const std::string path = TemporaryPath(folder, "anonymous");
    fd = UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd.valid() && errno == EEXIST) continue;
    if (!fd.valid()) return ErrnoStatus(errno, "create", path);
    if (::unlink(path.c_str()) != 0) return ErrnoStatus(errno, "remove the name of", path);
    return fd;
  }
  return ErrnoStatus(EEXIST, "create a temporary file in", folder);
}

class Source final : public ByteSource {
 public:
  Source(UniqueFd fd, uint64_t size, std::string name) : fd_(std::move(fd)), size_(size), name_(std::move(name)) {}
  uint64_t size() const override { return size_; }
  const std::string& name() const override { return name_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override {
    if (offset > size_ || dst.size() > size_ - offset) {
      return absl::OutOfRangeError(absl::StrCat(name_, ": bytes [", offset, ", ", offset, "+", dst.size(), ") of ", size_));
    }
    while (!dst.empty()) {
      const ssize_t n = ::pread(fd_.get(), dst.data(), dst.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, "read", name_);
      if (n == 0) return absl::DataLossError(absl::StrCat(name_, ": ends at ", offset, ", expected ", size_, " bytes"));
      offset += static_cast<uint64_t>(n);
      dst.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

 private:
  const UniqueFd fd_;
  const uint64_t size_;
  const std::string name_;
};

class File final : public AnonymousFile, public ByteSink {
 public:
  File(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

  ByteSink& sink() override { return *this; }
  absl::StatusOr<std::unique_ptr<ByteSource>> Read() override {
    if (!fd_.valid()) return absl::FailedPreconditionError(absl::StrCat(name_, ": was read before"));
    return std::make_unique<Source>(std::move(fd_), size_, name_);
  }

  const std::string& name() const override { return name_; }
  absl::Status Append(absl::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, "write", name_);
      size_ += static_cast<uint64_t>(n);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }
  uint64_t size() const override { return size_; }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  UniqueFd fd_;
  const std::string name_;
  uint64_t size_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AnonymousFile>> AnonymousFile::Create(const std::string& folder, std::string name) {
  CAIRN_ASSIGN_OR_RETURN(UniqueFd fd, OpenWithoutName(folder));
  return std::make_unique<File>(std::move(fd), std::move(name));
}

}  // namespace cairn
