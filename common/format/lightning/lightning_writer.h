#pragma once

#include <memory>

#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// One file that LightningModule.load_from_checkpoint reads; FORMAT.md says what it holds.
std::unique_ptr<CheckpointWriter> CreateLightningWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options);

}  // namespace cairn
