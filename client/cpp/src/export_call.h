#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cairn/connection.h"
#include "cairn/files.h"
#include "cairn/options.h"
#include "cairn/v1/checkpoint_service.pb.h"
#include "client/cpp/src/retry.h"
#include "client/cpp/src/stub.h"
#include "common/base/buffer.h"

namespace cairn::client {

// One export, over as many calls as it takes: each begins behind what has come already. One thread.
class ExportCall {
 public:
  // All but `request` outlive this object; `progress` may be null.
  ExportCall(Stub& stub, const Options& options, v1::ExportRequest request, ExportTarget& files, const ConvertCallback& progress)
      : stub_(stub), options_(options), request_(std::move(request)), files_(files), progress_(progress), ref_(request_.conversion().source().ref()) {}

  // UNAVAILABLE: try again.
  absl::Status Attempt(CancelCheck cancelled, Retry& retry);
  const ConversionResult& result() const { return result_; }

 private:
  struct File {
    uint64_t size = 0;
    bool finished = false;
  };

  absl::Status Take(const v1::ExportResponse& answer, const std::vector<Buffer>& pieces);
  absl::Status TakeChunk(const v1::ExportResponse& answer, const std::vector<Buffer>& pieces);
  // The number of a file that is open; INTERNAL otherwise.
  absl::Status CheckOpen(uint32_t number) const;
  absl::Status BeginAnew();

  Stub& stub_;
  const Options& options_;
  v1::ExportRequest request_;  // skip_* is what has come.
  ExportTarget& files_;
  const ConvertCallback& progress_;
  const std::string ref_;
  std::vector<File> open_;
  bool done_ = false;
  std::optional<CheckpointInfo> checkpoint_;
  ConversionResult result_;
};

}  // namespace cairn::client
