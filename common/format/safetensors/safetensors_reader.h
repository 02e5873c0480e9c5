#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/format/format.h"

namespace cairn {

// True for a safetensors file, an index of such, and a folder with one of them.
bool DetectSafetensors(const SourceTree& source);

// FORMAT.md, "Reading".
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenSafetensors(std::shared_ptr<const SourceTree> source,
                                                                  const ReadLimits& limits);

}  // namespace cairn
