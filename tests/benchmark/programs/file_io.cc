#include "tests/benchmark/programs/file_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "tests/benchmark/programs/fail.h"

namespace cairn::benchmark {
namespace {

int OpenOrFail(const std::string& path, int flags, bool direct) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC | (direct ? O_DIRECT : 0), 0644);
  if (fd < 0) FailErrno("cannot open " + path);
  return fd;
}

}  // namespace

File File::Create(const std::string& path, bool direct) {
  return File(OpenOrFail(path, O_WRONLY | O_CREAT | O_EXCL, direct));
}

File File::Open(const std::string& path, bool direct) { return File(OpenOrFail(path, O_RDONLY, direct)); }

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

uint64_t File::Size() const {
  struct stat status {};
  if (::fstat(fd_, &status) != 0) FailErrno("cannot see a file's size");
  return static_cast<uint64_t>(status.st_size);
}

void File::WriteAt(const char* data, size_t size, uint64_t offset) {
  while (size > 0) {
    const ssize_t wrote = ::pwrite(fd_, data, size, static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) FailErrno("cannot write");
    data += wrote;
    size -= static_cast<size_t>(wrote);
    offset += static_cast<uint64_t>(wrote);
  }
}

void File::ReadAt(char* data, size_t size, uint64_t offset) {
  while (size > 0) {
    const ssize_t got = ::pread(fd_, data, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) FailErrno("cannot read");
    if (got == 0) Fail("the file is too short");
    data += got;
    size -= static_cast<size_t>(got);
    offset += static_cast<uint64_t>(got);
  }
}

void File::Sync() {
  if (::fdatasync(fd_) != 0) FailErrno("cannot sync");
}

void File::DropCache() {
  ::fdatasync(fd_);
  if (::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED) != 0) FailErrno("cannot drop a file from the page cache");
}

void SyncFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::absolute(path).parent_path();
  const int fd = OpenOrFail(folder, O_RDONLY | O_DIRECTORY, false);
  if (::fsync(fd) != 0) FailErrno("cannot sync the folder " + folder);
  ::close(fd);
}

}  // namespace cairn::benchmark
