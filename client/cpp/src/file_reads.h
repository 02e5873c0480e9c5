#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "client/cpp/src/get_answer.h"
#include "common/base/buffer.h"
#include "common/base/thread_pool.h"
#include "common/handover/file_taker.h"

namespace cairn::client {

// Reads what a GetTensor answer names in files that the daemon has handed over, a range in each of some threads, and
// compares it with its digest. One thread at a time.
class FileReads {
 public:
  // Null where `target` is no Unix socket, or its daemon hands over no files to this process.
  static std::unique_ptr<FileReads> Connect(absl::string_view target);

  const std::string& ticket() const { return taker_->ticket(); }

  // Fills `dst`, of the chunk's size. False if that does not give the bytes that the daemon meant, for whatever reason: it
  // has to be asked for them, and knows better what is wrong.
  bool Fill(const GetAnswer::Chunk& chunk, absl::Span<char> dst);
  // The same in memory of its own, which is used again once nobody holds it. Empty for false.
  Buffer Read(const GetAnswer::Chunk& chunk);

 private:
  explicit FileReads(std::unique_ptr<FileTaker> taker) : taker_(std::move(taker)) {}

  const std::unique_ptr<FileTaker> taker_;
  std::unique_ptr<ThreadPool> threads_;  // Made when first needed.
  std::shared_ptr<char[]> memory_;
  uint64_t memory_bytes_ = 0;
};

}  // namespace cairn::client
