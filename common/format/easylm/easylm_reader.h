#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// Format::Open of "easylm". Scans the file once, headers only.
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenEasyLmReader(std::shared_ptr<const SourceTree> source,
                                                                   const ReadOptions& options);

}  // namespace cairn
