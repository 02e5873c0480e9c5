#pragma once

#include <memory>
#include <string>

#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// Writes what torch.load(weights_only=True) reads, also with mmap=True: one file of torch.save, or a folder of Hugging
// Face with shards; FORMAT.md.
std::unique_ptr<CheckpointWriter> CreateTorchWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options);
// One such file of that name in a folder, assets beside it; "": the tree is the file, and holds no assets. Never shards,
// never an index.
std::unique_ptr<CheckpointWriter> CreateTorchFileWriter(std::shared_ptr<SinkTree> sink, WriteOptions options, std::string name);

}  // namespace cairn
