#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "common/base/buffer.h"
#include "google/protobuf/message_lite.h"
#include "grpcpp/support/byte_buffer.h"

namespace cairn::wire {

// PutTensorRequest and GetTensorResponse with their payload (field `data`, number 15, last on the wire) left where
// it is: no copy into a protobuf string on either side. The one place that knows grpc::ByteBuffer.
inline constexpr uint32_t kDataField = 15;

// Serialises `header` (whose `data` is empty) and appends the field `data` that consists of `pieces`. The frame
// borrows them, so that their owners live until gRPC has sent them, or copies them where they are small.
grpc::ByteBuffer MakeFrame(const google::protobuf::MessageLite& header, absl::Span<const Buffer> pieces);

// The reverse. `pieces` borrow the frame's slices (8 KiB to 1 MiB each) and keep them alive; empty pieces do not
// occur. INVALID_ARGUMENT for bytes that are no such message: bad tags, lengths that leave the frame, `data` twice or
// not last, more than `max_header_bytes` besides the data.
absl::Status ParseFrame(const grpc::ByteBuffer& frame, uint64_t max_header_bytes,
                        google::protobuf::MessageLite* header, std::vector<Buffer>* pieces);

}  // namespace cairn::wire
