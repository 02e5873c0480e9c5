#pragma once

#include <memory>

#include "common/format/format.h"
#include "common/io/resumable_tree.h"

namespace cairn {

// A writer into `tree` that does not ask for what is there already. `writer` keeps the tree, and writes the same index as
// the run that was interrupted.
// * Of a target that is one file, what its front has of an entry is read from there, and `writer` sees all bytes: whatever
//   it makes of them (checksums) comes out as before. What the front has in another form, or copied together with others,
//   is asked for again.
// * Of a folder nothing is asked for of entries whose files are there, if `only_counts`: `writer` makes nothing of an
//   entry's bytes outside of the entry's file. Otherwise all bytes are.
std::unique_ptr<CheckpointWriter> ResumeWriting(std::unique_ptr<CheckpointWriter> writer, std::shared_ptr<ResumableTree> tree,
                                                bool only_counts);

}  // namespace cairn
