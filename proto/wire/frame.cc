#include "proto/wire/frame.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "grpcpp/support/slice.h"

namespace cairn::wire {
namespace {

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

constexpr int kMaxVarintBytes = 10;
// Up to that size a copy costs less than a slice of its own with what keeps its bytes alive.
constexpr uint64_t kMaxCopiedBytes = 8u << 10;

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

absl::Status Malformed(uint64_t offset, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("malformed message: at byte ", offset, ": ", what));
}

// Walks over the slices of a frame as if they were one run of bytes.
class Cursor {
 public:
  explicit Cursor(std::vector<grpc::Slice> slices) : slices_(std::move(slices)) {
    for (const grpc::Slice& slice : slices_) total_ += slice.size();
  }

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return total_ - position_; }

  // A base-128 number, whose bytes are also appended to `raw`.
  absl::StatusOr<uint64_t> ReadVarint(std::string* raw) {
    const uint64_t start = position_;
    uint64_t value = 0;
    for (int i = 0; i < kMaxVarintBytes; ++i) {
      if (remaining() == 0) return Malformed(start, "a number is cut off");
      const uint8_t byte = ReadByte();
      raw->push_back(static_cast<char>(byte));
      if (i == kMaxVarintBytes - 1 && byte > 1) break;
      value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
      if (byte < 0x80) return value;
    }
    return Malformed(start, "a number of more than 64 bits");
  }

  // Appends `length` bytes, no more than remaining(), to `out`.
  void Copy(uint64_t length, std::string* out) {
    while (length > 0) {
      SkipEmptySlices();
      const grpc::Slice& slice = slices_[index_];
      const uint64_t here = std::min<uint64_t>(length, slice.size() - offset_);
      out->append(reinterpret_cast<const char*>(slice.begin()) + offset_, here);
      Advance(here);
      length -= here;
    }
  }

  // Everything that remains, borrowed. A short slice holds its bytes inside itself, so each slice moves to a place of
  // its own before its bytes are named.
  void TakeRest(std::vector<Buffer>* pieces) {
    for (; index_ < slices_.size(); ++index_, offset_ = 0) {
      if (slices_[index_].size() == offset_) continue;
      auto owner = std::make_shared<const grpc::Slice>(std::move(slices_[index_]));
      const absl::string_view bytes(reinterpret_cast<const char*>(owner->begin()), owner->size());
      pieces->emplace_back(bytes.substr(offset_), std::move(owner));
    }
    position_ = total_;
  }

 private:
  uint8_t ReadByte() {
    SkipEmptySlices();
    const uint8_t byte = slices_[index_].begin()[offset_];
    Advance(1);
    return byte;
  }
  void SkipEmptySlices() {
    for (; offset_ == slices_[index_].size(); offset_ = 0) ++index_;
  }
  void Advance(uint64_t bytes) {
    offset_ += bytes;
    position_ += bytes;
  }

  std::vector<grpc::Slice> slices_;
  uint64_t total_ = 0;
  uint64_t position_ = 0;
  size_t index_ = 0;   // The slice that position_ lies in,
  size_t offset_ = 0;  // and where in it.
};

// Bytes of a field's value, not counting a length in front of it (which goes to `raw`); nothing for a wire type that
// does not exist, or that proto3 does not use.
absl::StatusOr<uint64_t> ValueSize(uint32_t wire_type, Cursor* cursor, std::string* raw) {
  switch (wire_type) {
    case kVarint:
      CAIRN_RETURN_IF_ERROR(cursor->ReadVarint(raw).status());
      return 0;
    case kFixed64:
      return 8;
    case kFixed32:
      return 4;
    case kLengthDelimited:
      return cursor->ReadVarint(raw);
    default:
      return Malformed(cursor->position(), absl::StrCat("unknown wire type ", wire_type));
  }
}

void DropBuffer(void* buffer) { delete static_cast<Buffer*>(buffer); }

}  // namespace

grpc::ByteBuffer MakeFrame(const google::protobuf::MessageLite& header, absl::Span<const Buffer> pieces) {
  uint64_t data_bytes = 0;
  for (const Buffer& piece : pieces) data_bytes += piece.size();

  const size_t header_bytes = header.ByteSizeLong();
  std::string tag;
  if (data_bytes > 0) {
    AppendVarint(kDataField << 3 | kLengthDelimited, &tag);
    AppendVarint(data_bytes, &tag);
  }
  const bool copy = data_bytes <= kMaxCopiedBytes;
  grpc::Slice front(header_bytes + tag.size() + (copy ? data_bytes : 0));
  uint8_t* out = const_cast<uint8_t*>(front.begin());  // Nobody else has it yet.
  out = header.SerializeWithCachedSizesToArray(out);
  out = std::copy(tag.begin(), tag.end(), out);
  if (copy) {
    for (const Buffer& piece : pieces) {
      if (piece.empty()) continue;
      std::memcpy(out, piece.data(), piece.size());
      out += piece.size();
    }
    return grpc::ByteBuffer(&front, 1);
  }
  std::vector<grpc::Slice> slices;
  slices.reserve(1 + pieces.size());
  slices.push_back(std::move(front));
  for (const Buffer& piece : pieces) {
    if (piece.empty()) continue;
    slices.emplace_back(const_cast<char*>(piece.data()), piece.size(), DropBuffer, new Buffer(piece));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

absl::Status ParseFrame(const grpc::ByteBuffer& frame, uint64_t max_header_bytes,
                        google::protobuf::MessageLite* header, std::vector<Buffer>* pieces) {
  pieces->clear();
  std::vector<grpc::Slice> slices;
  if (!frame.Valid() || !frame.Dump(&slices).ok()) {
    return absl::InvalidArgumentError("malformed message: its bytes cannot be read");
  }
  Cursor cursor(std::move(slices));
  std::string fields;  // All of them but `data`.
  std::string raw;
  while (cursor.remaining() > 0) {
    const uint64_t start = cursor.position();
    raw.clear();
    CAIRN_ASSIGN_OR_RETURN(const uint64_t tag, cursor.ReadVarint(&raw));
    const uint64_t field = tag >> 3;
    const uint32_t wire_type = tag & 7;
    if (tag > UINT32_MAX || field == 0) return Malformed(start, absl::StrCat("no field has the tag ", tag));
    if (field == kDataField && wire_type != kLengthDelimited) {
      return Malformed(start, absl::StrCat("field `data` with wire type ", wire_type));
    }
    CAIRN_ASSIGN_OR_RETURN(const uint64_t size, ValueSize(wire_type, &cursor, &raw));
    if (size > cursor.remaining()) {
      return Malformed(start, absl::StrCat("field ", field, " of ", size, " bytes, but only ", cursor.remaining(),
                                           " follow"));
    }
    if (field == kDataField) {
      if (size != cursor.remaining()) {
        return Malformed(start, absl::StrCat("field `data` must be the last, and there once, but ",
                                             cursor.remaining() - size, " bytes follow it"));
      }
      cursor.TakeRest(pieces);
      break;
    }
    if (raw.size() + size > max_header_bytes - fields.size()) {
      return Malformed(start, absl::StrCat("more than ", max_header_bytes, " bytes besides the data"));
    }
    fields += raw;
    cursor.Copy(size, &fields);
  }
  if (!header->ParseFromString(fields)) {
    pieces->clear();
    return absl::InvalidArgumentError(
        absl::StrCat("malformed message: its ", fields.size(), " bytes besides the data are no ", header->GetTypeName()));
  }
  return absl::OkStatus();
}

}  // namespace cairn::wire
