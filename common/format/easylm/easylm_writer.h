#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "common/format/flax_msgpack/flax_leaf.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// Set by tests only, which have no gigabytes.
struct EasyLmWriterOptions {
  uint64_t max_chunk_bytes = kFlaxMaxChunkBytes;
  uint64_t max_bin_bytes = 0xffffffff;  // What a msgpack bin can hold.
};

// Format::Create of "easylm".
absl::StatusOr<std::unique_ptr<CheckpointWriter>> CreateEasyLmWriter(std::shared_ptr<SinkTree> sink,
                                                                     const WriteOptions& options,
                                                                     const EasyLmWriterOptions& easylm_options = {});

}  // namespace cairn
