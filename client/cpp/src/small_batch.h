#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "cairn/v1/checkpoint_service.pb.h"
#include "client/cpp/src/upload_entry.h"
#include "common/base/buffer.h"
#include "google/protobuf/arena.h"
#include "grpcpp/support/byte_buffer.h"

namespace cairn::client {

// Small entries on their way into one message of PutTensor. One thread.
class SmallBatch {
 public:
  // An entry above this is a message of its own.
  static constexpr uint64_t kMaxEntryBytes = 64u << 10;

  // `max_entries`: what the daemon takes in one message; below 2 nothing is ever batched. `max_bytes`: of a message.
  SmallBatch(uint32_t max_entries, uint64_t max_bytes);

  bool empty() const { return entries_ == 0; }
  // Whether an entry of that many bytes belongs into a batch at all, and whether there is room for it now.
  bool Takes(const UploadEntry& entry, uint64_t bytes) const;
  bool HasRoomFor(uint64_t bytes) const;

  // `pieces` are copied.
  void Add(const UploadEntry& entry, absl::Span<const Buffer> pieces);
  // The message, with what was added, which asks for a flush or not. Empty from then on.
  grpc::ByteBuffer Take(bool flush);
  void Clear();

 private:
  const uint32_t max_entries_;
  const uint64_t max_bytes_;
  google::protobuf::Arena arena_;
  v1::PutTensorRequest* request_;
  std::string data_;
  uint32_t entries_ = 0;
  uint64_t header_bytes_ = 0;
};

}  // namespace cairn::client
