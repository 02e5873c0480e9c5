#include "server/engine/binary_codec.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace cairn {

void BinaryWriter::Varint(uint64_t value) {
  while (value >= 0x80) {
    Byte(static_cast<uint8_t>(value | 0x80));
    value >>= 7;
  }
  Byte(static_cast<uint8_t>(value));
}

void BinaryWriter::Fixed32(uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) Byte(static_cast<uint8_t>(value >> shift));
}

void BinaryWriter::Fixed64(uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) Byte(static_cast<uint8_t>(value >> shift));
}

absl::Status BinaryReader::Damaged(absl::string_view what) const {
  return absl::DataLossError(absl::StrCat("record damaged at byte ", position_, " of ", bytes_.size(), ": ", what));
}

absl::StatusOr<uint8_t> BinaryReader::Byte() {
  if (position_ == bytes_.size()) return Damaged("ends early");
  return static_cast<uint8_t>(bytes_[position_++]);
}

absl::StatusOr<uint64_t> BinaryReader::Varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    CAIRN_ASSIGN_OR_RETURN(const uint8_t byte, Byte());
    if (shift == 63 && byte > 1) return Damaged("varint above 64 bits");
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return Damaged("varint above 64 bits");
}

absl::StatusOr<absl::string_view> BinaryReader::Raw(uint64_t count) {
  if (count > remaining()) return Damaged(absl::StrCat("length ", count, " leaves the record"));
  const absl::string_view view = bytes_.substr(position_, count);
  position_ += count;
  return view;
}

absl::StatusOr<absl::string_view> BinaryReader::Text() {
  CAIRN_ASSIGN_OR_RETURN(const uint64_t length, Varint());
  return Raw(length);
}

absl::StatusOr<uint32_t> BinaryReader::Fixed32() {
  CAIRN_ASSIGN_OR_RETURN(const absl::string_view raw, Raw(4));
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(raw[i]);
  return value;
}

absl::StatusOr<uint64_t> BinaryReader::Fixed64() {
  CAIRN_ASSIGN_OR_RETURN(const absl::string_view raw, Raw(8));
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(raw[i]);
  return value;
}

absl::StatusOr<uint64_t> BinaryReader::Count(uint64_t min_bytes) {
  CAIRN_ASSIGN_OR_RETURN(const uint64_t count, Varint());
  if (count > remaining() / min_bytes) return Damaged(absl::StrCat("count ", count, " leaves the record"));
  return count;
}

}  // namespace cairn
