#pragma once

#include <memory>

#include "common/format/format.h"

namespace cairn {

// FORMAT.md, "Writing".
std::unique_ptr<CheckpointWriter> CreateNpzWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options);

}  // namespace cairn
