#include "client/cpp/src/file_reads.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/strip.h"
#include "absl/synchronization/blocking_counter.h"
#include "client/cpp/src/target.h"
#include "common/base/digest.h"

namespace cairn::client {
namespace {

constexpr size_t kPieceBytes = 256u << 10;  // Read and digested while they are in the processor's cache.
constexpr int kMaxThreads = 4;

bool ReadRange(int file, const GetAnswer::FileRange& range, absl::Span<char> dst) {
  if (range.file_offset > INT64_MAX - dst.size()) return false;
  Digester digester(range.digest.algorithm());
  for (size_t done = 0; done < dst.size();) {
    const size_t piece = std::min(kPieceBytes, dst.size() - done);
    const ssize_t read = ::pread(file, dst.data() + done, piece, static_cast<off_t>(range.file_offset + done));
    if (read < 0 && errno == EINTR) continue;
    if (read <= 0) return false;
    digester.Update(absl::string_view(dst.data() + done, static_cast<size_t>(read)));
    done += static_cast<size_t>(read);
  }
  return digester.Finish() == range.digest;
}

}  // namespace

std::unique_ptr<FileReads> FileReads::Connect(absl::string_view target) {
  if (!IsUnixTarget(target)) return nullptr;
  absl::ConsumePrefix(&target, "unix:");
  std::unique_ptr<FileTaker> taker = FileTaker::Connect(std::string(target));
  return taker == nullptr ? nullptr : std::unique_ptr<FileReads>(new FileReads(std::move(taker)));
}

bool FileReads::Fill(const GetAnswer::Chunk& chunk, absl::Span<char> dst) {
  struct Work {
    int file;
    const GetAnswer::FileRange* range;
    absl::Span<char> to;
  };
  std::vector<Work> work;
  uint64_t offset = 0;
  for (const GetAnswer::FileRange& range : chunk.ranges) {
    const absl::StatusOr<int> file = taker_->File(range.file);
    if (!file.ok()) return false;
    work.push_back({*file, &range, dst.subspan(offset, range.bytes)});
    offset += range.bytes;
  }
  std::atomic<size_t> next{0};
  std::atomic<bool> good{true};
  const auto run = [&] {
    for (size_t i = next.fetch_add(1); i < work.size() && good; i = next.fetch_add(1)) {
      if (!ReadRange(work[i].file, *work[i].range, work[i].to)) good = false;
    }
  };
  const int available = std::clamp<int>(static_cast<int>(std::thread::hardware_concurrency()), 1, kMaxThreads);
  const int helpers = std::min<int>(available, static_cast<int>(work.size())) - 1;
  if (helpers > 0 && threads_ == nullptr) threads_ = std::make_unique<ThreadPool>("cairn-read", available - 1);
  absl::BlockingCounter running(std::max(helpers, 0));
  for (int i = 0; i < helpers; ++i) {
    threads_->Schedule([&] {
      run();
      running.DecrementCount();
    });
  }
  run();
  running.Wait();
  return good;
}

Buffer FileReads::Read(const GetAnswer::Chunk& chunk) {
  const uint64_t size = chunk.size();
  if (memory_ == nullptr || memory_bytes_ < size || memory_.use_count() > 1) {
    memory_ = std::shared_ptr<char[]>(new char[size]);
    memory_bytes_ = size;
  }
  if (!Fill(chunk, absl::MakeSpan(memory_.get(), size))) return Buffer();
  return Buffer(absl::string_view(memory_.get(), size), memory_);
}

}  // namespace cairn::client
