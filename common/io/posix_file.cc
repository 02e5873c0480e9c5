#include "common/io/posix_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

class FileSource final : public ByteSource {
 public:
  FileSource(UniqueFd fd, uint64_t size, std::string path) : fd_(std::move(fd)), size_(size), path_(std::move(path)) {}

  uint64_t size() const override { return size_; }
  const std::string& name() const override { return path_; }

  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override {
    if (offset > size_ || dst.size() > size_ - offset) {
      return absl::OutOfRangeError(
          absl::StrCat(path_, ": bytes [", offset, ", ", offset + dst.size(), ") leave the file of ", size_));
    }
    size_t done = 0;
    while (done < dst.size()) {
      const ssize_t n = ::pread(fd_.get(), dst.data() + done, dst.size() - done, static_cast<off_t>(offset + done));
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoStatus(errno, "read", path_);
      }
      if (n == 0) {
        return absl::DataLossError(
            absl::StrCat(path_, ": file ends at ", offset + done, ", expected ", size_, " bytes: it shrank while open"));
      }
      done += static_cast<size_t>(n);
    }
    return absl::OkStatus();
  }

  void WillRead(uint64_t offset, uint64_t length) const override {
    ::posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(length), POSIX_FADV_WILLNEED);
  }

 private:
  const UniqueFd fd_;
  const uint64_t size_;
  const std::string path_;
};

class FileSink final : public ByteSink {
 public:
  FileSink(UniqueFd fd, std::string temporary, std::string path, FileSinkOptions options)
      : fd_(std::move(fd)), temporary_(std::move(temporary)), path_(std::move(path)), options_(options) {}

  ~FileSink() override {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }

  const std::string& name() const override { return path_; }
  uint64_t size() const override { return size_; }

  absl::Status Append(absl::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoStatus(errno, "write", path_);
      }
      bytes.remove_prefix(static_cast<size_t>(n));
      size_ += static_cast<uint64_t>(n);
    }
    // Starts write-back early, so that the fsync at the end has little left to do.
    if (options_.durable && size_ - flushed_ >= kWriteBackStep) {
      ::sync_file_range(fd_.get(), static_cast<off_t>(flushed_), static_cast<off_t>(size_ - flushed_),
                        SYNC_FILE_RANGE_WRITE);
      flushed_ = size_;
    }
    return absl::OkStatus();
  }

  absl::Status Close() override {
    if (options_.durable && ::fsync(fd_.get()) != 0) return ErrnoStatus(errno, "fsync", temporary_);
    if (options_.overwrite) {
      if (::rename(temporary_.c_str(), path_.c_str()) != 0) return ErrnoStatus(errno, "rename to", path_);
    } else {
      // link() refuses to replace, which rename() would do silently.
      if (::link(temporary_.c_str(), path_.c_str()) != 0) return ErrnoStatus(errno, "create", path_);
      ::unlink(temporary_.c_str());
    }
    temporary_.clear();
    if (!options_.durable) return absl::OkStatus();
    return SyncDirectory(std::filesystem::path(path_).parent_path().string());
  }

 private:
  static constexpr uint64_t kWriteBackStep = 64u << 20;

  UniqueFd fd_;
  std::string temporary_;  // Empty once renamed.
  const std::string path_;
  const FileSinkOptions options_;
  uint64_t size_ = 0;
  uint64_t flushed_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ByteSource>> OpenFileSource(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoStatus(errno, "open", path);
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "stat", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a regular file, found ", S_ISDIR(info.st_mode) ? "a directory" : "a device"));
  }
  return std::make_unique<FileSource>(std::move(fd), static_cast<uint64_t>(info.st_size), path);
}

absl::StatusOr<std::unique_ptr<ByteSink>> CreateFileSink(const std::string& path, FileSinkOptions options) {
  struct stat info;
  if (!options.overwrite && ::lstat(path.c_str(), &info) == 0) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": exists already; ask for overwriting or choose another name"));
  }
  const std::filesystem::path target(path);
  const std::filesystem::path folder = target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
  std::string temporary;
  int created = -1;
  do {
    temporary = TemporaryPath(folder.string(), target.filename().string());
    created = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (created < 0 && (errno == EEXIST || errno == EINTR));
  UniqueFd fd(created);
  if (fd.get() < 0) return ErrnoStatus(errno, "create a file in", folder.string());
  return std::make_unique<FileSink>(std::move(fd), std::move(temporary), path, options);
}

std::string TemporaryPath(const std::string& folder, absl::string_view name) {
  static constexpr char kAlphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::string path = (std::filesystem::path(folder) / absl::StrCat(".", name, ".cairn-tmp-")).string();
  for (int i = 0; i < 6; ++i) path += kAlphabet[random() % (sizeof(kAlphabet) - 1)];
  return path;
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, uint64_t max_bytes) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> source, OpenFileSource(path));
  if (source->size() > max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": ", source->size(), " bytes, expected at most ", max_bytes));
  }
  std::string bytes(source->size(), '\0');
  CAIRN_RETURN_IF_ERROR(source->ReadAt(0, absl::MakeSpan(bytes)));
  return bytes;
}

absl::Status ErrnoStatus(int error, absl::string_view what, absl::string_view path) {
  const std::string message = absl::StrCat(what, " ", path, ": ", std::strerror(error));
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EFBIG:
      return absl::ResourceExhaustedError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOENT:
      return absl::NotFoundError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    case EISDIR:
    case ENOTDIR:
    case ENAMETOOLONG:
    case EINVAL:
      return absl::InvalidArgumentError(message);
    case EIO:
      return absl::DataLossError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::Status SyncDirectory(const std::string& path) {
  UniqueFd fd(::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoStatus(errno, "open", path);
  if (::fsync(fd.get()) != 0) return ErrnoStatus(errno, "fsync", path);
  return absl::OkStatus();
}

}  // namespace cairn
