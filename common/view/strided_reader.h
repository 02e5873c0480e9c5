#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/view/strided_view.h"

namespace cairn {

// Fills the span with the storage's bytes from a byte offset on. A ByteSource, a CheckpointReader's entry, memory.
using StorageRead = std::function<absl::Status(uint64_t offset, absl::Span<char> dst)>;

struct StridedReadOptions {
  // Memory for what has been read and not yet handed out. Twice as much halves the number of reads of a transposed
  // tensor that is larger; a tensor that is smaller is read at once, and takes no more than its size.
  uint64_t scratch_bytes = 16u << 20;
};

// The row-major bytes of a strided view, any range of them, in bounded memory.
//
// A contiguous view, a slice, and anything whose long runs lie as they come out is read straight into the caller's
// memory. Others are read tile by tile: as many of the view's next rows as fit into the scratch memory, with each byte
// of the storage read about once by a reader that goes from front to back. The last tile stays for the next call.
//
// One thread at a time. Calls block.
class StridedReader {
 public:
  // INVALID_ARGUMENT as CheckView says for a storage of that many bytes.
  static absl::StatusOr<std::unique_ptr<StridedReader>> Create(StridedView view, uint64_t storage_bytes,
                                                               StorageRead read,
                                                               const StridedReadOptions& options = {});
  virtual ~StridedReader() = default;

  // Bytes of the view.
  virtual uint64_t size() const = 0;
  // Fills `dst` with the view's bytes from `offset` on. OUT_OF_RANGE if they leave it; else whatever the storage said.
  virtual absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) = 0;
};

}  // namespace cairn
