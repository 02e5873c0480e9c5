#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "common/base/cancellation.h"
#include "common/convert/convert_plan.h"
#include "common/format/format.h"

namespace cairn {

struct ConvertProgress {
  uint64_t bytes_done = 0;  // Of the target's bytes, skipped ones (a resumed save) included.
  uint64_t bytes_total = 0;
  uint64_t bytes_skipped = 0;  // Of bytes_done, what the target had already.
  uint64_t entries_done = 0;
  uint64_t entries_total = 0;
};

struct ConvertOptions {
  uint64_t window_bytes = 4u << 20;  // Memory: at most two windows, whatever the tensors' size.
  std::function<void(const ConvertProgress&)> progress = {};  // Called in this thread, after each window.
  Cancellation cancellation = {};
  // The writer was told to drop what it cannot hold (WriteOptions::drop_unsupported). Otherwise a writer that does not
  // ask for an entry is a bug, and INTERNAL.
  bool may_drop = false;
};

// Runs a plan: reader -> cast, one window at a time -> writer, Begin to Finish. The first error ends it, with
// the entry in its message. The pipeline behind push, pull, convert, import and export.
absl::Status RunConvert(CheckpointReader& reader, const ConvertPlan& plan, CheckpointWriter& writer,
                        const ConvertOptions& options);

}  // namespace cairn
