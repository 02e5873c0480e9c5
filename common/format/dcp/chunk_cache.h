#pragma once

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/format/dcp/dcp_files.h"
#include "common/format/dcp/dcp_layout.h"
#include "common/format/format.h"
#include "common/tensor/dtype.h"
#include "common/tensor/shape.h"

namespace cairn {

// The chunks that are being read: a tensor cut in columns is read from all of its chunks in turn, so they stay open,
// within bounds of number and memory. One thread at a time.
class ChunkCache {
 public:
  // `files` must outlive this.
  ChunkCache(const DcpFiles* files, const ReadLimits& limits) : files_(files), limits_(limits) {}

  // Bytes of the chunk that lies in that slice, which has the number `key`.
  absl::Status ReadAt(uint32_t key, const DcpSlice& slice, Dtype dtype, absl::Span<const int64_t> stored_shape,
                      uint64_t offset, absl::Span<char> dst);

 private:
  static constexpr size_t kMaxChunks = 256;
  static constexpr uint64_t kMaxMemory = 128u << 20;
  struct Open {
    DcpFiles::Chunk chunk;
    Dtype dtype = Dtype::kInvalid;
    Shape stored_shape;
    uint64_t last_use = 0;
  };

  const DcpFiles* const files_;
  const ReadLimits limits_;
  absl::flat_hash_map<uint32_t, Open> open_;
  uint64_t memory_ = 0;
  uint64_t clock_ = 0;
};

}  // namespace cairn
