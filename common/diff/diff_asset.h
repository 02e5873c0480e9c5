#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/diff/exact_diff.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// An exact diff as a checkpoint that can be stored: one asset, the file (common/format/cairndiff).

// Whether this is such a checkpoint.
bool StoresDiff(const CheckpointIndex& index);

// The file that it stores. One thread at a time, as its reader. `name`: for messages.
std::unique_ptr<ByteSource> StoredDiffBytes(std::unique_ptr<CheckpointReader> stored, std::string name);

// Computes a diff into a file of `folder` that has no name, since an asset's size must be known before its first byte; the
// file goes with the reader. The same two checkpoints give the same bytes.
absl::StatusOr<std::unique_ptr<CheckpointReader>> MakeDiffAsset(CheckpointReader& base, CheckpointReader& target,
                                                                const ExactDiffOptions& options, const std::string& folder,
                                                                ExactDiffReport* report);

}  // namespace cairn
