#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/io/io_buffer.h"

namespace cairn {

struct DirectWriterOptions {
  // Memory: so many IoBuffers.
  size_t buffers = 4;
  // They are filled and written in runs of so many bytes, a divisor of IoBuffer::kBytes and a multiple of kAlignment.
  // One is being filled while the others are written or wait for it.
  size_t write_bytes = IoBuffer::kBytes;
  // Writes that are under way at once. More than one is of use only within reserved room: a file system lets writes
  // that lengthen a file wait for each other.
  size_t threads = 1;
  // Where the file is expected to end, if known: room up to there is reserved in one go once a run is full, which
  // costs less than finding it write by write. What is not used of it is given back.
  uint64_t expected_end = 0;
  // Where buffers come from and go to; outlives the writer. None: from the system.
  IoBufferPool* pool = nullptr;
};

// Writes the rest of a large file past the page cache (O_DIRECT), in threads of its own, while the caller makes the
// next bytes: the kernel's copy into its cache and the flushing of that cache cost more than the disk does. Where the
// file system does not take such writes they become ordinary ones. Holds its buffers, whatever the size of the file; a
// file shorter than one run goes through the cache, without a thread.
// One thread at a time; the file must not be used by anybody else meanwhile. Until Finish() has returned OK the file
// may have holes, or be longer than what was appended.
class DirectWriter {
 public:
  // What the system's direct writes are aligned to.
  static constexpr size_t kAlignment = 4096;

  // Writes to `fd`, which stays the caller's, from `offset` on, a multiple of kAlignment. `path` is for messages.
  DirectWriter(int fd, uint64_t offset, std::string path, DirectWriterOptions options = {});
  // Drops what has not been written.
  ~DirectWriter();
  DirectWriter(const DirectWriter&) = delete;
  DirectWriter& operator=(const DirectWriter&) = delete;

  // Copies the bytes; waits while all runs are full. Gives the error of an earlier write, if there was one.
  absl::Status Append(absl::string_view bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // Writes everything (fsync is the caller's). Nothing may follow.
  absl::Status Finish() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Run {
    char* bytes = nullptr;  // From the first use on.
    size_t size = 0;
    uint64_t offset = 0;  // In the file.
  };

  absl::Status TakeFreeRun() ABSL_LOCKS_EXCLUDED(mu_);
  void Start();
  char* MemoryOf(const Run* run);
  void WriteRuns() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Write(const Run& run);
  void SetDirect(bool direct);
  bool HasWorkOrStops() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !full_.empty(); }
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !free_.empty() || !status_.ok(); }
  bool IsIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return (full_.empty() && writing_ == 0) || !status_.ok();
  }

  const int fd_;
  const std::string path_;
  const DirectWriterOptions options_;
  std::atomic<bool> direct_{false};

  // The caller's.
  uint64_t end_;  // Of what was appended.
  std::vector<IoBuffer> buffers_;
  std::vector<Run> runs_;   // Each is filling_, free, full or being written.
  Run* filling_ = nullptr;  // Null: none.

  absl::Mutex mu_;
  std::vector<Run*> free_ ABSL_GUARDED_BY(mu_);  // Those used last are used next.
  std::deque<Run*> full_ ABSL_GUARDED_BY(mu_);
  size_t writing_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);  // The first error; nothing is written after it.
  std::vector<std::thread> threads_;          // None until a run is full.
};

}  // namespace cairn
