#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "cairn/v1/checkpoint_service.pb.h"
#include "common/base/buffer.h"
#include "common/base/byte_budget.h"
#include "common/tensor/checkpoint_index.h"
#include "common/tensor/shape.h"
#include "grpcpp/support/byte_buffer.h"
#include "server/service/delta_chunk.h"

namespace cairn {

// Of one message of PutTensor.
inline constexpr uint32_t kMaxSmallEntries = 4096;

// What one message of PutTensor asks for, checked as far as that goes without the session: checksums, sizes, dtypes.
struct PutStep {
  struct Declared {
    Entry entry;
    std::optional<Box> box;
    uint64_t start = 0;
  };
  // An entry with all its bytes.
  struct Small {
    Entry entry;
    std::optional<Box> box;
    std::vector<Buffer> pieces;
  };

  std::optional<v1::PutTensorRequest::Open> open;
  std::optional<Declared> declare;
  bool has_chunk = false;
  uint64_t offset = 0;
  std::vector<Buffer> pieces;
  std::optional<ChunkDelta> delta;  // The pieces are one; what it makes is to be checked.
  bool finish = false;
  std::vector<Small> small;
  bool flush = false;
  bool close = false;  // The client has half-closed.

  std::shared_ptr<ByteBudget::Reservation> credit;  // Of the memory that the pieces hold.
  uint64_t bytes = 0;      // Payload.
  uint64_t raw_bytes = 0;  // What it stands for: of a delta more, else the same.
  uint64_t memory = 0;     // Of the whole message, and of what its delta makes.
};

// `message` is scratch: one that is used again keeps its strings and its fields' memory.
absl::StatusOr<PutStep> ParsePutStep(const grpc::ByteBuffer& frame, uint64_t max_chunk_bytes,
                                     v1::PutTensorRequest& message);

}  // namespace cairn
