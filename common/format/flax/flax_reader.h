#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// Format::Detect and Format::Open of "flax".
bool DetectFlax(const SourceTree& source);
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenFlax(std::shared_ptr<const SourceTree> source,
                                                           const ReadLimits& limits);

}  // namespace cairn
