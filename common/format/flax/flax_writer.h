#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "common/format/flax_msgpack/flax_leaf.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// Set by tests only, which have no gigabytes.
struct FlaxWriterOptions {
  uint64_t max_chunk_bytes = kFlaxMaxChunkBytes;
  uint64_t max_ext_bytes = 0xffffffff;  // What a msgpack ext can hold.
};

// Format::Create of "flax".
std::unique_ptr<CheckpointWriter> CreateFlaxWriter(std::shared_ptr<SinkTree> sink, const WriteOptions& options,
                                                   const FlaxWriterOptions& flax_options = {});

}  // namespace cairn
