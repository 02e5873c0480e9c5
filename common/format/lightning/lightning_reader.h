#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// A file of the Trainer, by its first kilobytes; or a folder with a meta.pt and files of DCP.
bool DetectLightning(const SourceTree& source);
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenLightning(std::shared_ptr<const SourceTree> source, const ReadOptions& options);

}  // namespace cairn
