#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// A file of torch.save, or a folder of Hugging Face: shards with an index, or one file of weights; FORMAT.md.
bool DetectTorch(const SourceTree& source);
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenTorch(std::shared_ptr<const SourceTree> source, const ReadLimits& limits);

}  // namespace cairn
