#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace cairn {

// Writes the rest of a large file past the page cache (O_DIRECT), in a thread of its own, while the caller makes the next
// bytes: the kernel's copy into its cache and the flushing of that cache cost more than the disk does. Where the file
// system does not take such writes they become ordinary ones. Holds its buffers, whatever the size of the file.
// One thread at a time; the file must not be used by anybody else meanwhile.
class DirectWriter {
 public:
  // What the system's direct writes are aligned to, and a multiple of what disks want.
  static constexpr size_t kAlignment = 4096;
  static constexpr size_t kBufferBytes = size_t{2} << 20;
  static constexpr size_t kBuffers = 4;

  // Writes to `fd`, which stays the caller's, from `offset` on, a multiple of kAlignment. `path` is for messages. There
  // are `buffers` of `buffer_bytes` (a multiple of kAlignment); one is being filled while the others are written.
  DirectWriter(int fd, uint64_t offset, std::string path, size_t buffer_bytes = kBufferBytes, size_t buffers = kBuffers);
  // Drops what has not been written.
  ~DirectWriter();
  DirectWriter(const DirectWriter&) = delete;
  DirectWriter& operator=(const DirectWriter&) = delete;

  // Copies the bytes; waits while all buffers are full. Gives the error of an earlier write, if there was one.
  absl::Status Append(absl::string_view bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // Writes everything (fsync is the caller's). Nothing may follow.
  absl::Status Finish() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct FreeDeleter {
    void operator()(char* bytes) const;
  };
  struct Buffer {
    std::unique_ptr<char, FreeDeleter> bytes;
    size_t size = 0;
  };

  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Write(const Buffer& buffer);
  void SetDirect(bool direct);
  bool HasWorkOrStops() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || full_ > 0; }
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return full_ < buffers_.size() || !status_.ok(); }
  bool IsIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return full_ == 0 || !status_.ok(); }

  const int fd_;
  const std::string path_;
  uint64_t offset_;  // Of the writing thread.
  bool direct_ = false;

  // A ring: the caller fills buffers_[next_], the thread writes the `full_` buffers before it.
  const size_t buffer_bytes_;
  std::vector<Buffer> buffers_;
  size_t next_ = 0;  // Of the caller.
  absl::Mutex mu_;
  size_t full_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace cairn
