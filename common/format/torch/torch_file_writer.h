#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/io/byte_sink.h"
#include "common/zip/zip_writer.h"

namespace cairn {

// Writes one file of torch.save, strictly forward, in the very layout of torch: the pickle, then the storages that it
// names "0", "1", ... One thread at a time; after an error nothing may follow.
//
//   Start, { StartStorage, Append*, FinishStorage }*, Finish
class TorchFileWriter {
 public:
  // `sink` must outlive the writer, and is not closed by it.
  explicit TorchFileWriter(ByteSink* sink);

  absl::Status Start(absl::string_view pickle);
  absl::Status StartStorage(uint64_t bytes);
  absl::Status Append(absl::string_view bytes) { return zip_.Append(bytes); }
  // INVALID_ARGUMENT unless exactly the storage's bytes have come.
  absl::Status FinishStorage() { return zip_.FinishEntry(); }
  absl::Status Finish();

 private:
  ZipWriter zip_;
  uint64_t storages_ = 0;
};

}  // namespace cairn
