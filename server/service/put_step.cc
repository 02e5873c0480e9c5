#include "server/service/put_step.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/base/annotate.h"
#include "common/base/crc32c.h"
#include "common/base/digest.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"
#include "common/delta/delta.h"
#include "proto/wire/frame.h"
#include "proto/wire/proto_convert.h"

namespace cairn {
namespace {

constexpr uint64_t kMaxHeaderBytes = 1u << 20;
// What a small entry takes once it is parsed, besides its bytes: far more than on the wire.
constexpr uint64_t kSmallBytes = sizeof(PutStep::Small) + 256;

absl::Status CheckCrc(absl::Span<const Buffer> pieces, uint32_t expected_crc, absl::string_view what) {
  uint32_t crc = 0;
  for (const Buffer& piece : pieces) crc = ExtendCrc32c(crc, piece.bytes());
  if (crc == expected_crc) return absl::OkStatus();
  const std::string expected = absl::StrCat(absl::Hex(expected_crc, absl::kZeroPad8));
  const std::string found = absl::StrCat(absl::Hex(crc, absl::kZeroPad8));
  return WithErrorInfo(absl::InvalidArgumentError(absl::StrCat(what, ": crc32c is ", found, ", the client said ", expected,
                                                               "; the bytes were damaged on the way")),
                       {"CHUNK_CHECKSUM", {{"expected", expected}, {"found", found}}});
}

// The result's size, which decides about memory, is checked here, before there is any.
absl::StatusOr<ChunkDelta> ParseDelta(const v1::Chunk& chunk, uint64_t bytes, uint64_t max_chunk_bytes) {
  const uint64_t most = std::min<uint64_t>(max_chunk_bytes, kMaxDeltaBytes);
  if (chunk.raw_bytes() > most) {
    return absl::InvalidArgumentError(absl::StrCat("chunk at offset ", chunk.offset(), ": a delta that makes ", chunk.raw_bytes(),
                                                   " bytes, expected at most ", most));
  }
  if (bytes == 0 || bytes > uint64_t{chunk.raw_bytes()} + 1) {
    return absl::InvalidArgumentError(absl::StrCat("chunk at offset ", chunk.offset(), ": a delta of ", bytes, " bytes that makes ",
                                                   chunk.raw_bytes(), ", expected 1 to ", uint64_t{chunk.raw_bytes()} + 1));
  }
  if (!chunk.base_digest().empty() && chunk.base_digest().size() != static_cast<size_t>(DigestAlgorithm::kXxh3)) {
    return absl::InvalidArgumentError(absl::StrCat("chunk at offset ", chunk.offset(), ": base_digest has ",
                                                   chunk.base_digest().size(), " bytes, expected 16 or none"));
  }
  return ChunkDelta{chunk.raw_bytes(), chunk.base_digest(), chunk.crc32c()};
}

absl::StatusOr<std::optional<Box>> ParseBox(const v1::Box& box, const Entry& entry) {
  if (entry.kind != EntryKind::kTensor) return absl::InvalidArgumentError("only tensors have boxes");
  CAIRN_ASSIGN_OR_RETURN(Box parsed, wire::FromProto(box, entry.shape));
  return parsed;
}

// Hands out the payload's front, piece by piece.
class Payload {
 public:
  explicit Payload(std::vector<Buffer> pieces) : pieces_(std::move(pieces)) {
    for (const Buffer& piece : pieces_) remaining_ += piece.size();
  }

  uint64_t remaining() const { return remaining_; }

  // `bytes` is no more than remaining().
  std::vector<Buffer> Take(uint64_t bytes) {
    std::vector<Buffer> taken;
    remaining_ -= bytes;
    while (bytes > 0) {
      const Buffer& piece = pieces_[index_];
      const uint64_t here = std::min<uint64_t>(bytes, piece.size() - offset_);
      if (here > 0) taken.push_back(piece.Slice(offset_, here));
      bytes -= here;
      offset_ += here;
      if (offset_ == piece.size()) {
        ++index_;
        offset_ = 0;
      }
    }
    return taken;
  }

 private:
  std::vector<Buffer> pieces_;
  uint64_t remaining_ = 0;
  size_t index_ = 0;
  uint64_t offset_ = 0;
};

absl::StatusOr<std::vector<PutStep::Small>> ParseSmall(const v1::PutTensorRequest& message, std::vector<Buffer> pieces) {
  if (message.small_size() > static_cast<int>(kMaxSmallEntries)) {
    return absl::InvalidArgumentError(
        absl::StrCat(message.small_size(), " small entries in one message, expected at most ", kMaxSmallEntries));
  }
  if (message.has_declare() || message.has_chunk() || message.finish()) {
    return absl::InvalidArgumentError("a message with small entries declares, continues or finishes no other");
  }
  Payload payload(std::move(pieces));
  std::vector<PutStep::Small> small;
  small.reserve(message.small_size());
  for (const v1::PutTensorRequest::Small& one : message.small()) {
    PutStep::Small& parsed = small.emplace_back();
    CAIRN_ASSIGN_OR_RETURN(parsed.entry, wire::FromProto(one.entry()));
    if (one.has_box()) {
      CAIRN_ASSIGN_OR_RETURN(parsed.box, ParseBox(one.box(), parsed.entry));
    }
    if (one.bytes() > payload.remaining()) {
      return absl::InvalidArgumentError(absl::StrCat("small entry ", small.size() - 1, ", ", parsed.entry.path.ToString(), ", of ",
                                                     one.bytes(), " bytes, but only ", payload.remaining(),
                                                     " are left in the message"));
    }
    parsed.pieces = payload.Take(one.bytes());
    CAIRN_RETURN_IF_ERROR(CheckCrc(parsed.pieces, one.crc32c(), absl::StrCat("small entry ", parsed.entry.path.ToString())));
  }
  if (payload.remaining() > 0) {
    return absl::InvalidArgumentError(absl::StrCat(payload.remaining(), " bytes of the message belong to no small entry"));
  }
  return small;
}

}  // namespace

absl::StatusOr<PutStep> ParsePutStep(const grpc::ByteBuffer& frame, uint64_t max_chunk_bytes,
                                     v1::PutTensorRequest& message) {
  message.Clear();
  PutStep step;
  CAIRN_RETURN_IF_ERROR(wire::ParseFrame(frame, kMaxHeaderBytes, &message, &step.pieces));
  step.bytes = step.raw_bytes = TotalSize(step.pieces);
  step.memory = frame.Length();
  if (step.bytes > max_chunk_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("chunk of ", step.bytes, " bytes, expected at most ", max_chunk_bytes));
  }
  if (message.has_open()) step.open = message.open();
  step.flush = message.flush();
  if (message.small_size() > 0) {
    CAIRN_ASSIGN_OR_RETURN(step.small, ParseSmall(message, std::move(step.pieces)));
    step.pieces.clear();
    step.memory += step.small.size() * kSmallBytes;
    return step;
  }
  if (message.has_declare()) {
    const v1::PutTensorRequest::Declare& declare = message.declare();
    PutStep::Declared declared;
    CAIRN_ASSIGN_OR_RETURN(declared.entry, wire::FromProto(declare.entry()));
    if (declare.has_box()) {
      CAIRN_ASSIGN_OR_RETURN(declared.box, ParseBox(declare.box(), declared.entry));
    }
    declared.start = declare.start_offset();
    step.declare = std::move(declared);
  }
  if (message.has_chunk()) {
    step.has_chunk = true;
    step.offset = message.chunk().offset();
    if (message.chunk().raw_bytes() > 0) {
      CAIRN_ASSIGN_OR_RETURN(step.delta, ParseDelta(message.chunk(), step.bytes, max_chunk_bytes));
      step.raw_bytes = step.delta->raw_bytes;
      step.memory += step.raw_bytes;
      step.finish = message.finish();
      return step;
    }
    if (!message.chunk().base_digest().empty()) {
      return absl::InvalidArgumentError(absl::StrCat("chunk at offset ", step.offset, ": base_digest without raw_bytes"));
    }
    CAIRN_RETURN_IF_ERROR(CheckCrc(step.pieces, message.chunk().crc32c(),
                                   absl::StrCat("chunk at offset ", step.offset, " of ", step.bytes, " bytes")));
  } else if (!step.pieces.empty()) {
    return absl::InvalidArgumentError("data without a chunk that tells its offset and checksum");
  }
  step.finish = message.finish();
  return step;
}

}  // namespace cairn
