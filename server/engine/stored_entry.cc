#include "server/engine/stored_entry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr uint8_t kTextSegment = 0;
constexpr uint8_t kIndexSegment = 1;
constexpr uint64_t kMaxSegments = 64;

uint64_t ZigZag(int64_t value) { return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63); }
int64_t UnZigZag(uint64_t value) { return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1); }

}  // namespace

void WriteKeyPath(const KeyPath& path, BinaryWriter& out) {
  out.Varint(path.segments().size());
  for (const KeyPath::Segment& segment : path.segments()) {
    if (const std::string* text = std::get_if<std::string>(&segment)) {
      out.Byte(kTextSegment);
      out.Text(*text);
    } else {
      out.Byte(kIndexSegment);
      out.Varint(ZigZag(std::get<int64_t>(segment)));
    }
  }
}

absl::StatusOr<KeyPath> ReadKeyPath(BinaryReader& in) {
  CAIRN_ASSIGN_OR_RETURN(const uint64_t count, in.Count(2));
  if (count > kMaxSegments) return in.Damaged(absl::StrCat("key path of ", count, " segments"));
  std::vector<KeyPath::Segment> segments;
  segments.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const uint8_t type, in.Byte());
    if (type == kTextSegment) {
      CAIRN_ASSIGN_OR_RETURN(const absl::string_view text, in.Text());
      segments.emplace_back(std::string(text));
    } else if (type == kIndexSegment) {
      CAIRN_ASSIGN_OR_RETURN(const uint64_t index, in.Varint());
      segments.emplace_back(UnZigZag(index));
    } else {
      return in.Damaged(absl::StrCat("key segment type ", type));
    }
  }
  return KeyPath(std::move(segments));
}

void WriteEntry(const Entry& entry, BinaryWriter& out) {
  out.Byte(static_cast<uint8_t>(entry.kind));
  WriteKeyPath(entry.path, out);
  switch (entry.kind) {
    case EntryKind::kTensor:
      out.Byte(static_cast<uint8_t>(entry.dtype));
      out.Varint(entry.shape.size());
      for (int64_t extent : entry.shape) out.Varint(static_cast<uint64_t>(extent));
      break;
    case EntryKind::kValue:
      out.Text(EncodeValue(entry.value));
      break;
    case EntryKind::kAsset:
      out.Varint(entry.byte_size);
      break;
    case EntryKind::kAlias:
      WriteKeyPath(entry.target, out);
      break;
  }
}

absl::StatusOr<Entry> ReadEntry(BinaryReader& in) {
  Entry entry;
  CAIRN_ASSIGN_OR_RETURN(const uint8_t kind, in.Byte());
  CAIRN_ASSIGN_OR_RETURN(entry.path, ReadKeyPath(in));
  entry.kind = static_cast<EntryKind>(kind);
  switch (entry.kind) {
    case EntryKind::kTensor: {
      CAIRN_ASSIGN_OR_RETURN(const uint8_t number, in.Byte());
      const std::optional<Dtype> dtype = DtypeFromNumber(number);
      if (!dtype.has_value()) return in.Damaged(absl::StrCat("dtype number ", number));
      entry.dtype = *dtype;
      CAIRN_ASSIGN_OR_RETURN(const uint64_t rank, in.Count(1));
      if (rank > kMaxRank) return in.Damaged(absl::StrCat("rank ", rank));
      entry.shape.resize(rank);
      for (int64_t& extent : entry.shape) {
        CAIRN_ASSIGN_OR_RETURN(const uint64_t value, in.Varint());
        extent = static_cast<int64_t>(value);
      }
      absl::StatusOr<uint64_t> bytes = ByteSize(entry.dtype, entry.shape);
      if (!bytes.ok()) return in.Damaged(bytes.status().message());
      entry.byte_size = *bytes;
      return entry;
    }
    case EntryKind::kValue: {
      CAIRN_ASSIGN_OR_RETURN(const absl::string_view encoded, in.Text());
      absl::StatusOr<Value> value = DecodeValue(encoded);
      if (!value.ok()) return in.Damaged(value.status().message());
      entry.value = *std::move(value);
      return entry;
    }
    case EntryKind::kAsset: {
      CAIRN_ASSIGN_OR_RETURN(entry.byte_size, in.Varint());
      return entry;
    }
    case EntryKind::kAlias: {
      CAIRN_ASSIGN_OR_RETURN(entry.target, ReadKeyPath(in));
      return entry;
    }
  }
  return in.Damaged(absl::StrCat("entry kind ", kind));
}

void WriteBox(const Box& box, BinaryWriter& out) {
  for (int64_t offset : box.offset) out.Varint(static_cast<uint64_t>(offset));
  for (int64_t extent : box.extent) out.Varint(static_cast<uint64_t>(extent));
}

absl::StatusOr<Box> ReadBox(BinaryReader& in, absl::Span<const int64_t> shape) {
  Box box;
  box.offset.resize(shape.size());
  box.extent.resize(shape.size());
  for (int64_t& offset : box.offset) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t value, in.Varint());
    offset = static_cast<int64_t>(value);
  }
  for (int64_t& extent : box.extent) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t value, in.Varint());
    extent = static_cast<int64_t>(value);
  }
  if (absl::Status inside = CheckBox(box, shape); !inside.ok()) return in.Damaged(inside.message());
  return box;
}

void WriteTexts(absl::Span<const std::string> texts, BinaryWriter& out) {
  out.Varint(texts.size());
  for (const std::string& text : texts) out.Text(text);
}

absl::StatusOr<std::vector<std::string>> ReadTexts(BinaryReader& in) {
  CAIRN_ASSIGN_OR_RETURN(const uint64_t count, in.Count(1));
  std::vector<std::string> texts;
  texts.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const absl::string_view text, in.Text());
    texts.emplace_back(text);
  }
  return texts;
}

}  // namespace cairn
