#include "common/io/posix_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/io/direct_writer.h"
#include "common/io/unique_fd.h"

namespace cairn {
namespace {

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
    ReadAhead(offset, dst.size());
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

 private:
  static constexpr uint64_t kReadAhead = 8u << 20;

  // Large reads that follow each other keep the disk busy with the next ones: the kernel alone reads 128 KiB ahead. To
  // announce a whole file at once would block until the disk has taken all of it.
  void ReadAhead(uint64_t offset, uint64_t length) const {
    constexpr uint64_t kLarge = 128u << 10;
    if (length < kLarge) return;
    const uint64_t end = offset + length;
    uint64_t ahead = ahead_.load(std::memory_order_relaxed);
    if (offset > ahead || end + kReadAhead < ahead) ahead = end;  // Elsewhere.
    if (ahead >= std::min(end + kReadAhead / 2, size_)) return;
    const uint64_t until = std::min(end + kReadAhead, size_);
    ahead = std::max(ahead, end);
    ahead_.store(until, std::memory_order_relaxed);
    ::posix_fadvise(fd_.get(), static_cast<off_t>(ahead), static_cast<off_t>(until - ahead), POSIX_FADV_WILLNEED);
  }

  const UniqueFd fd_;
  const uint64_t size_;
  const std::string path_;
  mutable std::atomic<uint64_t> ahead_{0};  // A hint among threads that read at once.
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
    // The front of a file, and with that all of a small one, goes through the page cache: whoever reads it next finds it
    // there. So does a file that need not be durable.
    if (direct_ == nullptr && options_.durable && size_ + bytes.size() > kDirectFrom) {
      const absl::string_view front = bytes.substr(0, kDirectFrom - size_);
      CAIRN_RETURN_IF_ERROR(Gather(front));
      CAIRN_RETURN_IF_ERROR(Flush());
      bytes.remove_prefix(front.size());
      direct_ = std::make_unique<DirectWriter>(fd_.get(), size_, path_);
      // Nothing waits for this yet, and the fsync at the end will have less to do.
      ::sync_file_range(fd_.get(), 0, static_cast<off_t>(size_), SYNC_FILE_RANGE_WRITE);
    }
    if (direct_ == nullptr) return Gather(bytes);
    CAIRN_RETURN_IF_ERROR(direct_->Append(bytes));
    size_ += bytes.size();
    return absl::OkStatus();
  }

  absl::Status Close() override {
    CAIRN_RETURN_IF_ERROR(Flush());
    if (direct_ != nullptr) {
      CAIRN_RETURN_IF_ERROR(direct_->Finish());
      direct_.reset();
    }
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
  static constexpr uint64_t kDirectFrom = 32u << 20;
  static_assert(kDirectFrom % DirectWriter::kAlignment == 0);

  static constexpr size_t kGathered = 256u << 10;

  // Small tensors share one write.
  absl::Status Gather(absl::string_view bytes) {
    if (gathered_.size() + bytes.size() > kGathered) CAIRN_RETURN_IF_ERROR(Flush());
    size_ += bytes.size();
    if (bytes.size() > kGathered) return Write(bytes);
    gathered_.append(bytes.data(), bytes.size());
    return absl::OkStatus();
  }

  absl::Status Flush() {
    CAIRN_RETURN_IF_ERROR(Write(gathered_));
    gathered_.clear();
    return absl::OkStatus();
  }

  absl::Status Write(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0) {
        if (errno == EINTR) continue;
        return ErrnoStatus(errno, "write", path_);
      }
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  UniqueFd fd_;
  std::string temporary_;  // Empty once renamed.
  const std::string path_;
  const FileSinkOptions options_;
  std::string gathered_;  // Not yet written.
  uint64_t size_ = 0;     // Gathered bytes included.
  std::unique_ptr<DirectWriter> direct_;  // Once the file is large. Ends before fd_ does.
};

}  // namespace

absl::string_view KindOfFile(mode_t mode) {
  if (S_ISREG(mode)) return "a file";
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

bool IsWithin(absl::string_view path, absl::string_view folder) {
  if (folder == "/") return absl::StartsWith(path, folder);
  return absl::ConsumePrefix(&path, folder) && (path.empty() || path.front() == '/');
}

absl::StatusOr<std::unique_ptr<ByteSource>> OpenFileSource(const std::string& path, const FileSourceOptions& options) {
  // Without O_NONBLOCK a pipe would wait for its other end.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "open", path);
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "stat", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a regular file, found ", KindOfFile(info.st_mode)));
  }
  if (!options.confined_to.empty()) {
    std::error_code error;
    const std::string real = std::filesystem::read_symlink(absl::StrCat("/proc/self/fd/", fd.get()), error).string();
    if (error) return ErrnoStatus(error.value(), "resolve", path);
    if (!IsWithin(real, options.confined_to)) {
      return absl::PermissionDeniedError(
          absl::StrCat(path, ": leads out of ", options.confined_to, ", the only folder that may be read"));
    }
  }
  return std::make_unique<FileSource>(std::move(fd), static_cast<uint64_t>(info.st_size), path);
}

absl::StatusOr<std::unique_ptr<ByteSink>> CreateFileSink(const std::string& path, FileSinkOptions options) {
  struct stat info;
  if (!options.overwrite && ::lstat(path.c_str(), &info) == 0) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": exists already; ask for overwriting or choose another name"));
  }
  if (options.overwrite && ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a regular file to replace, found ", KindOfFile(info.st_mode)));
  }
  const std::filesystem::path target(path);
  const std::filesystem::path beside = target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
  const std::filesystem::path folder = options.temporary_folder.empty() ? beside : std::filesystem::path(options.temporary_folder);
  std::string temporary;
  int created = -1;
  do {
    temporary = TemporaryPath(folder.string(), target.filename().string());
    created = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (created < 0 && (errno == EEXIST || errno == EINTR));
  UniqueFd fd(created);
  if (!fd.valid()) return ErrnoStatus(errno, "create a file in", folder.string());
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
  if (!fd.valid()) return ErrnoStatus(errno, "open", path);
  if (::fsync(fd.get()) != 0) return ErrnoStatus(errno, "fsync", path);
  return absl::OkStatus();
}

}  // namespace cairn
