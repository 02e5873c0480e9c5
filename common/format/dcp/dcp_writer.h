#pragma once

#include <memory>

#include "common/format/format.h"

namespace cairn {

// FORMAT.md, "Writing". Data files and assets are created as their bytes come, and `.metadata` in Finish(), last; then
// the tree is committed.
std::unique_ptr<CheckpointWriter> CreateDcpWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options);

}  // namespace cairn
