#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "common/base/thread_pool.h"
#include "common/net/range_file.h"

namespace cairn {

struct ReadAheadOptions {
  uint64_t least_bytes = 64u << 10;  // Of a request, unless the file ends.
  uint64_t block_bytes = 8u << 20;   // Of a request at most.
  int requests = 3;                  // At once.
  uint64_t memory_bytes = 32u << 20; // Of what has come and waits to be read; what is on its way comes on top.
  std::function<bool()> interrupted; // Asked now and then in threads that wait; true is CANCELLED. May be empty.
};

// Makes few requests of many reads: whoever reads front to back gets blocks that are asked for ahead, the more of them the
// longer he goes on; whoever jumps gets little more than he asked for. One for all files of a checkpoint, so that memory
// has one bound: memory_bytes + (requests + 1) * block_bytes with one reader. Thread-safe.
class ReadAhead {
 public:
  explicit ReadAhead(ReadAheadOptions options);
  // Waits for what is on its way.
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // As ByteSource::ReadAt. An error is not kept: the next read asks again.
  absl::Status Read(const std::shared_ptr<const RangeFile>& file, uint64_t offset, absl::Span<char> dst);

 private:
  struct Segment;
  struct Reading;
  using Segments = std::map<uint64_t, std::shared_ptr<Segment>>;

  // The one that holds the byte, or null.
  std::shared_ptr<Segment> Find(Reading& reading, uint64_t offset) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::shared_ptr<Segment> Ask(const std::shared_ptr<const RangeFile>& file, Reading& reading, uint64_t offset, uint64_t length) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AskAhead(const std::shared_ptr<const RangeFile>& file, Reading& reading, uint64_t from) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Drop(Reading& reading, const std::shared_ptr<Segment>& segment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ForgetClosed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const ReadAheadOptions options_;
  absl::Mutex mu_;
  std::map<const RangeFile*, std::unique_ptr<Reading>> readings_ ABSL_GUARDED_BY(mu_);
  uint64_t held_ ABSL_GUARDED_BY(mu_) = 0;   // Bytes of segments that have come.
  uint64_t clock_ ABSL_GUARDED_BY(mu_) = 0;  // Counts uses.
  int pending_ ABSL_GUARDED_BY(mu_) = 0;
  ThreadPool pool_;  // The last, so that its threads end before what they use.
};

}  // namespace cairn
