#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// What no other format writes: an index of shards by ColossalAI's names, a folder with one, a folder of a Booster's
// checkpoint, a file of optimizer states in the layout of asynchronous saves.
bool DetectColossalAi(const SourceTree& source);

// FORMAT.md, "Reading". `named`: states of the optimizer by the names of parameters.
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenColossalAi(std::shared_ptr<const SourceTree> source, bool named,
                                                                 const ReadLimits& limits);

}  // namespace cairn
