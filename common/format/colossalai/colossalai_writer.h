#pragma once

#include <memory>

#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// FORMAT.md, "Writing".
std::unique_ptr<CheckpointWriter> CreateColossalAiWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options, bool safetensors);

}  // namespace cairn
