#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/format/colossalai/colossalai_assembly.h"
#include "common/format/folder/weight_index.h"
#include "common/io/file_tree.h"

namespace cairn {

// What an optimizer holds, as entries at optimizer/state/[ID]/NAME and optimizer/param_groups/[N]/NAME.

// A folder's shards by their index, and the file of parameter groups that it names.
absl::Status AddOptimizerShards(std::shared_ptr<const SourceTree> folder, const WeightIndex& index, ColossalAiAssembly* assembly);

// One file with all of it, of torch.save or in the layout of asynchronous saves.
absl::Status AddOptimizerFile(std::shared_ptr<const SourceTree> file, ColossalAiAssembly* assembly);

}  // namespace cairn
