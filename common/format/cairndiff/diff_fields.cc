#include "common/format/cairndiff/diff_fields.h"

#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/cairndiff/diff_file.h"

namespace cairn::diff_fields {
namespace {

enum class SegmentKind : uint8_t { kText = 0, kPosition = 1 };

uint64_t ZigZag(int64_t number) { return (static_cast<uint64_t>(number) << 1) ^ static_cast<uint64_t>(number >> 63); }
int64_t UnZigZag(uint64_t number) { return static_cast<int64_t>((number >> 1) ^ (~(number & 1) + 1)); }

}  // namespace

void PutNumber(uint64_t number, std::string* out) {
  while (number >= 0x80) {
    out->push_back(static_cast<char>(number | 0x80));
    number >>= 7;
  }
  out->push_back(static_cast<char>(number));
}

void PutText(absl::string_view text, std::string* out) {
  PutNumber(text.size(), out);
  absl::StrAppend(out, text);
}

void PutPath(const KeyPath& path, std::string* out) {
  PutNumber(path.segments().size(), out);
  for (const KeyPath::Segment& segment : path.segments()) {
    if (const auto* text = std::get_if<std::string>(&segment)) {
      out->push_back(static_cast<char>(SegmentKind::kText));
      PutText(*text, out);
    } else {
      out->push_back(static_cast<char>(SegmentKind::kPosition));
      PutNumber(ZigZag(std::get<int64_t>(segment)), out);
    }
  }
}

void PutShape(const Shape& shape, std::string* out) {
  PutNumber(shape.size(), out);
  for (const int64_t extent : shape) PutNumber(static_cast<uint64_t>(extent), out);
}

void PutFixed32(uint32_t number, std::string* out) {
  for (int byte = 0; byte < 4; ++byte) out->push_back(static_cast<char>(number >> (8 * byte)));
}

void PutFixed64(uint64_t number, std::string* out) {
  for (int byte = 0; byte < 8; ++byte) out->push_back(static_cast<char>(number >> (8 * byte)));
}

uint32_t Fixed32(const char* bytes) {
  uint32_t number = 0;
  for (int byte = 0; byte < 4; ++byte) number |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[byte])) << (8 * byte);
  return number;
}

uint64_t Fixed64(const char* bytes) {
  return Fixed32(bytes) | static_cast<uint64_t>(Fixed32(bytes + 4)) << 32;
}

absl::Status Fields::Damaged(absl::string_view what) const {
  return DamagedDiff(absl::StrCat("the diff is damaged: byte ", size_ - left_.size(), " of its index: ", what));
}

absl::StatusOr<uint8_t> Fields::TakeByte() {
  if (left_.empty()) return Damaged("expected a byte, found its end");
  const auto byte = static_cast<uint8_t>(left_.front());
  left_.remove_prefix(1);
  return byte;
}

absl::StatusOr<uint64_t> Fields::TakeNumber() {
  uint64_t number = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    CAIRN_ASSIGN_OR_RETURN(const uint8_t byte, TakeByte());
    if (shift == 63 && byte > 1) break;
    if (shift > 0 && byte == 0) return Damaged("a number longer than it needs to be");
    number |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return number;
  }
  return Damaged("a number beyond 64 bits");
}

absl::StatusOr<absl::string_view> Fields::TakeText(uint64_t max_bytes) {
  CAIRN_ASSIGN_OR_RETURN(const uint64_t length, TakeNumber());
  if (length > left_.size()) return Damaged(absl::StrCat("a text of ", length, " bytes, of which there are ", left_.size()));
  if (length > max_bytes) return Damaged(absl::StrCat("a text of ", length, " bytes, over the limit of ", max_bytes));
  const absl::string_view text = left_.substr(0, length);
  left_.remove_prefix(length);
  return text;
}

absl::StatusOr<KeyPath> Fields::TakePath(const ReadLimits& limits) {
  CAIRN_ASSIGN_OR_RETURN(const uint64_t segments, TakeNumber());
  if (segments > limits.max_depth) return Damaged(absl::StrCat("a path of ", segments, " segments, over the limit of ", limits.max_depth));
  KeyPath path;
  for (uint64_t i = 0; i < segments; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const uint8_t kind, TakeByte());
    if (kind == static_cast<uint8_t>(SegmentKind::kText)) {
      CAIRN_ASSIGN_OR_RETURN(const absl::string_view text, TakeText(limits.max_name_bytes));
      path.Append(std::string(text));
    } else if (kind == static_cast<uint8_t>(SegmentKind::kPosition)) {
      CAIRN_ASSIGN_OR_RETURN(const uint64_t number, TakeNumber());
      path.Append(UnZigZag(number));
    } else {
      return Damaged(absl::StrCat("unknown kind of segment ", kind));
    }
  }
  return path;
}

absl::StatusOr<Shape> Fields::TakeShape() {
  CAIRN_ASSIGN_OR_RETURN(const uint64_t rank, TakeNumber());
  if (rank > kMaxRank) return Damaged(absl::StrCat("a shape of rank ", rank, ", over the limit of ", kMaxRank));
  Shape shape;
  for (uint64_t i = 0; i < rank; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t extent, TakeNumber());
    if (extent > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return Damaged("an extent beyond int64");
    shape.push_back(static_cast<int64_t>(extent));
  }
  return shape;
}

absl::StatusOr<Digest> Fields::TakeDigest(size_t bytes) {
  if (left_.size() < bytes) return Damaged(absl::StrCat("a digest of ", bytes, " bytes, of which there are ", left_.size()));
  absl::StatusOr<Digest> digest = Digest::FromBytes(left_.substr(0, bytes));
  left_.remove_prefix(bytes);
  return digest;
}

}  // namespace cairn::diff_fields
