#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/format/format.h"

namespace cairn {

// True for a zip archive that holds .npy files and, as far as a look shows, nothing else.
bool DetectNpz(const SourceTree& source);

// FORMAT.md, "Reading".
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenNpz(const SourceTree& source, const ReadLimits& limits);

}  // namespace cairn
