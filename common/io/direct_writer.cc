#include "common/io/direct_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/stream_copy.h"
#include "common/io/posix_file.h"

namespace cairn {

DirectWriter::DirectWriter(int fd, uint64_t offset, std::string path, DirectWriterOptions options)
    : fd_(fd), path_(std::move(path)), options_(options), end_(offset), buffers_(options.buffers),
      runs_(options.buffers * (IoBuffer::kBytes / options.write_bytes)) {
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) free_.push_back(&*run);
}

DirectWriter::~DirectWriter() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
  if (options_.pool == nullptr) return;
  for (IoBuffer& buffer : buffers_) options_.pool->Give(std::move(buffer));
}

absl::Status DirectWriter::Append(absl::string_view bytes) {
  while (!bytes.empty()) {
    if (filling_ == nullptr) CAIRN_RETURN_IF_ERROR(TakeFreeRun());
    const absl::string_view piece = bytes.substr(0, options_.write_bytes - filling_->size);
    StreamCopy(filling_->bytes + filling_->size, piece);  // The disk reads it, no processor does.
    filling_->size += piece.size();
    end_ += piece.size();
    bytes.remove_prefix(piece.size());
    if (filling_->size < options_.write_bytes) continue;
    if (threads_.empty()) Start();
    absl::MutexLock lock(&mu_);
    full_.push_back(std::exchange(filling_, nullptr));
  }
  return absl::OkStatus();
}

absl::Status DirectWriter::TakeFreeRun() {
  {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &DirectWriter::HasRoom));
    CAIRN_RETURN_IF_ERROR(status_);
    filling_ = free_.back();
    free_.pop_back();
  }
  if (filling_->bytes == nullptr) filling_->bytes = MemoryOf(filling_);
  filling_->size = 0;
  filling_->offset = end_;
  return absl::OkStatus();
}

char* DirectWriter::MemoryOf(const Run* run) {
  const size_t at = static_cast<size_t>(run - runs_.data()) * options_.write_bytes;
  IoBuffer& buffer = buffers_[at / IoBuffer::kBytes];
  if (buffer.empty()) buffer = options_.pool == nullptr ? IoBuffer::Allocate() : options_.pool->Take();
  return buffer.data() + at % IoBuffer::kBytes;
}

// filling_ is full, the first that is.
void DirectWriter::Start() {
  if (end_ < options_.expected_end) {
    // Not every file system can, and there may be room for what comes and not for what was expected: the writes tell.
    const uint64_t begin = filling_->offset;
    (void)::fallocate(fd_, 0, static_cast<off_t>(begin), static_cast<off_t>(options_.expected_end - begin));
  }
  SetDirect(true);
  for (size_t i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { WriteRuns(); });
}

absl::Status DirectWriter::Finish() {
  {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &DirectWriter::IsIdle));
    CAIRN_RETURN_IF_ERROR(status_);
  }
  // The threads rest. What is left ends anywhere, so only its front can be written directly; not worth a system call.
  if (filling_ != nullptr) {
    if (direct_) SetDirect(false);
    CAIRN_RETURN_IF_ERROR(Write(*filling_));
  }
  if (!threads_.empty() && end_ < options_.expected_end && ::ftruncate(fd_, static_cast<off_t>(end_)) != 0) {
    return ErrnoStatus(errno, "give back the room beyond the end of", path_);
  }
  return absl::OkStatus();
}

void DirectWriter::WriteRuns() {
  while (true) {
    Run* run = nullptr;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &DirectWriter::HasWorkOrStops));
      if (stopping_ || !status_.ok()) return;
      run = full_.front();
      full_.pop_front();
      ++writing_;
    }
    const absl::Status written = Write(*run);
    absl::MutexLock lock(&mu_);
    --writing_;
    free_.push_back(run);
    status_.Update(written);
  }
}

absl::Status DirectWriter::Write(const Run& run) {
  size_t done = 0;
  while (done < run.size) {
    const bool direct = direct_;
    const ssize_t n = ::pwrite(fd_, run.bytes + done, run.size - done, static_cast<off_t>(run.offset + done));
    if (n < 0) {
      if (errno == EINTR) continue;
      // A file system that takes the flag and not the write, or one that stopped within a block.
      if (errno == EINVAL && direct) {
        SetDirect(false);
        continue;
      }
      return ErrnoStatus(errno, "write", path_);
    }
    done += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

// Several threads may come here at once, to say the same.
void DirectWriter::SetDirect(bool direct) {
  const int flags = ::fcntl(fd_, F_GETFL);
  if (flags < 0) return;
  direct_ = ::fcntl(fd_, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0 && direct;
}

}  // namespace cairn
