#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "absl/status/status.h"
#include "cairn/connection.h"
#include "cairn/files.h"
#include "cairn/options.h"
#include "cairn/v1/checkpoint_service.pb.h"
#include "client/cpp/src/block_pool.h"
#include "client/cpp/src/retry.h"
#include "client/cpp/src/stub.h"

namespace cairn::client {

// One import, over as many calls as it takes: the daemon asks for ranges of the files, each is read and sent. One thread.
class ImportCall {
 public:
  // All but `open` outlive this object; `progress` may be null.
  ImportCall(Stub& stub, const Options& options, v1::ImportRequest open, ImportSource& files, const ConvertCallback& progress);

  // UNAVAILABLE: try again.
  absl::Status Attempt(CancelCheck cancelled, Retry& retry);
  const ConversionResult& result() const { return result_; }

 private:
  absl::Status TakeMessages(RawStream& stream, Retry& retry);
  absl::Status Answer(RawStream& stream, const v1::ImportResponse::Read& read);

  Stub& stub_;
  const Options& options_;
  const v1::ImportRequest open_;
  ImportSource& files_;
  const ConvertCallback& progress_;
  BlockPool blocks_;
  std::deque<v1::ImportResponse::Read> reads_;  // Not yet answered.
  uint64_t most_done_ = 0;  // Bytes, over all attempts.
  int refused_offsets_ = 0;  // Since there was progress.
  bool done_ = false;
  ConversionResult result_;
};

}  // namespace cairn::client
