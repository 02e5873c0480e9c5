#pragma once

#include <memory>

#include "common/format/format.h"
#include "common/io/resumable_tree.h"

namespace cairn {

// A writer into `tree` that asks for no bytes of entries whose files are there already. `writer` keeps the tree, writes
// the same index as the run that was interrupted, and makes nothing of an entry's bytes outside of the entry's file.
std::unique_ptr<CheckpointWriter> ResumeWriting(std::unique_ptr<CheckpointWriter> writer, std::shared_ptr<ResumableTree> tree);

}  // namespace cairn
