#include "common/io/direct_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "common/base/status_macros.h"
#include "common/io/posix_file.h"

namespace cairn {

void DirectWriter::FreeDeleter::operator()(char* bytes) const { std::free(bytes); }

DirectWriter::DirectWriter(int fd, uint64_t offset, std::string path, size_t buffer_bytes, size_t buffers)
    : fd_(fd), path_(std::move(path)), offset_(offset), buffer_bytes_(buffer_bytes), buffers_(buffers) {
  SetDirect(true);
  thread_ = std::thread([this] { Run(); });
}

DirectWriter::~DirectWriter() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  thread_.join();
}

absl::Status DirectWriter::Append(absl::string_view bytes) {
  while (!bytes.empty()) {
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &DirectWriter::HasRoom));
      CAIRN_RETURN_IF_ERROR(status_);
    }
    Buffer& buffer = buffers_[next_];
    if (buffer.bytes == nullptr) {
      buffer.bytes.reset(static_cast<char*>(std::aligned_alloc(kAlignment, buffer_bytes_)));
      if (buffer.bytes == nullptr) throw std::bad_alloc();
    }
    const size_t run = std::min(bytes.size(), buffer_bytes_ - buffer.size);
    std::memcpy(buffer.bytes.get() + buffer.size, bytes.data(), run);
    buffer.size += run;
    bytes.remove_prefix(run);
    if (buffer.size < buffer_bytes_) continue;
    next_ = (next_ + 1) % buffers_.size();
    absl::MutexLock lock(&mu_);
    ++full_;
  }
  return absl::OkStatus();
}

absl::Status DirectWriter::Finish() {
  {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &DirectWriter::IsIdle));
    CAIRN_RETURN_IF_ERROR(status_);
  }
  // The thread rests. What is left ends anywhere, so only its front can be written directly; not worth a system call.
  Buffer& rest = buffers_[next_];
  if (rest.size == 0) return absl::OkStatus();
  SetDirect(false);
  return Write(rest);
}

void DirectWriter::Run() {
  size_t first = 0;
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &DirectWriter::HasWorkOrStops));
      if (stopping_) return;
    }
    Buffer& buffer = buffers_[first];
    const absl::Status written = Write(buffer);
    buffer.size = 0;
    first = (first + 1) % buffers_.size();
    absl::MutexLock lock(&mu_);
    --full_;
    if (written.ok()) continue;
    status_ = written;
    return;
  }
}

absl::Status DirectWriter::Write(const Buffer& buffer) {
  size_t done = 0;
  while (done < buffer.size) {
    const ssize_t n = ::pwrite(fd_, buffer.bytes.get() + done, buffer.size - done, static_cast<off_t>(offset_ + done));
    if (n < 0) {
      if (errno == EINTR) continue;
      // A file system that takes the flag and not the write, or one that stopped within a block.
      if (errno == EINVAL && direct_) {
        SetDirect(false);
        continue;
      }
      return ErrnoStatus(errno, "write", path_);
    }
    done += static_cast<size_t>(n);
  }
  offset_ += buffer.size;
  return absl::OkStatus();
}

void DirectWriter::SetDirect(bool direct) {
  const int flags = ::fcntl(fd_, F_GETFL);
  if (flags < 0) return;
  direct_ = ::fcntl(fd_, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0 && direct;
}

}  // namespace cairn
