#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// A folder with consolidated.00.pth ... of options.parts parts (0: one), and assets beside them. All parts are written at
// once, front to back, whatever the tensors' size. INVALID_ARGUMENT for more than 100 parts; FAILED_PRECONDITION for a
// folder that holds parts of a larger number and would keep them.
absl::StatusOr<std::unique_ptr<CheckpointWriter>> CreateLlamaWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options);

}  // namespace cairn
