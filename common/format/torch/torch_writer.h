#pragma once

#include <memory>

#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// Writes what torch.load(weights_only=True) reads, also with mmap=True: one file of torch.save, or a folder of Hugging
// Face with shards; FORMAT.md.
std::unique_ptr<CheckpointWriter> CreateTorchWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options);

}  // namespace cairn
