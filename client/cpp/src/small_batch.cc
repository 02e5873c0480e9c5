#include "client/cpp/src/small_batch.h"

#include <algorithm>
#include <utility>

#include "common/base/crc32c.h"
#include "proto/wire/frame.h"
#include "proto/wire/proto_convert.h"

namespace cairn::client {
namespace {

// Enough that what a message costs is little beside what is in it, and no more than a processor's cache holds.
constexpr uint64_t kMaxBatchBytes = 256u << 10;
constexpr uint32_t kMaxBatchEntries = 512;
// Besides the data; a message may have 1 MiB of it, and one entry's is at most that much.
constexpr uint64_t kMaxHeaderBytes = 128u << 10;
constexpr uint64_t kMaxEntryHeaderBytes = 4u << 10;

}  // namespace

SmallBatch::SmallBatch(uint32_t max_entries, uint64_t max_bytes)
    : max_entries_(std::min(max_entries, kMaxBatchEntries)),
      max_bytes_(std::min(max_bytes, kMaxBatchBytes)),
      request_(google::protobuf::Arena::CreateMessage<v1::PutTensorRequest>(&arena_)) {}

bool SmallBatch::Takes(const UploadEntry& entry, uint64_t bytes) const {
  if (max_entries_ < 2 || bytes > std::min(kMaxEntryBytes, max_bytes_)) return false;
  // A value's bytes are part of the header.
  const Value& value = entry.entry().value;
  return value.text.size() <= kMaxEntryHeaderBytes && value.items.empty() && value.pairs.empty();
}

bool SmallBatch::HasRoomFor(uint64_t bytes) const {
  return entries_ < max_entries_ && data_.size() + bytes <= max_bytes_ && header_bytes_ <= kMaxHeaderBytes;
}

void SmallBatch::Add(const UploadEntry& entry, absl::Span<const Buffer> pieces) {
  v1::PutTensorRequest::Small& small = *request_->add_small();
  wire::ToProto(entry.entry(), small.mutable_entry());
  if (entry.box().has_value()) wire::ToProto(*entry.box(), small.mutable_box());
  uint32_t crc = 0;
  uint64_t bytes = 0;
  for (const Buffer& piece : pieces) {
    crc = ExtendCrc32c(crc, piece.bytes());
    bytes += piece.size();
    data_.append(piece.data(), piece.size());
  }
  small.set_bytes(static_cast<uint32_t>(bytes));
  small.set_crc32c(crc);
  header_bytes_ += small.ByteSizeLong();
  ++entries_;
}

grpc::ByteBuffer SmallBatch::Take(bool flush) {
  request_->set_flush(flush);
  const Buffer data = Buffer::FromString(std::move(data_));
  grpc::ByteBuffer message = wire::MakeFrame(*request_, absl::MakeConstSpan(&data, data.empty() ? 0 : 1));
  Clear();
  return message;
}

void SmallBatch::Clear() {
  arena_.Reset();
  request_ = google::protobuf::Arena::CreateMessage<v1::PutTensorRequest>(&arena_);
  data_ = std::string();
  entries_ = 0;
  header_bytes_ = 0;
}

}  // namespace cairn::client
