#include "common/format/flax_msgpack/msgpack_scan.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

using Type = MsgpackToken::Type;

// A jump of less than this over a payload still counts as reading on: one larger read beats two small ones.
constexpr uint64_t kNearBytes = 64u << 10;

uint64_t BigEndian(const char* bytes, int count) {
  uint64_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

MsgpackToken SignedToken(uint64_t offset, int64_t value) {
  MsgpackToken token{.offset = offset};
  if (value < 0) {
    token.type = Type::kNegative;
    token.negative = value;
  } else {
    token.type = Type::kUint;
    token.number = static_cast<uint64_t>(value);
  }
  return token;
}

}  // namespace

absl::string_view MsgpackTypeName(Type type) {
  switch (type) {
    case Type::kNil:
      return "nil";
    case Type::kBool:
      return "bool";
    case Type::kUint:
    case Type::kNegative:
      return "int";
    case Type::kFloat:
      return "float";
    case Type::kStr:
      return "str";
    case Type::kBin:
      return "bin";
    case Type::kArray:
      return "array";
    case Type::kMap:
      return "map";
    case Type::kExt:
      return "ext";
  }
  return "unknown";
}

// Makes the next `length` bytes (few) lie in the window.
absl::Status MsgpackScanner::Fill(uint64_t length) {
  const uint64_t end = std::min(end_, source_.size());
  if (offset_ > end || length > end - offset_) {
    return absl::OutOfRangeError(
        absl::StrCat("offset ", offset_, ": the bytes end at offset ", end, ", ", length, " more were expected"));
  }
  const uint64_t window_end = window_offset_ + window_.size();
  if (offset_ >= window_offset_ && offset_ + length <= window_end) return absl::OkStatus();

  // Small tensors: read ahead more and more. Large ones, whose payloads are jumped over: little, as it is thrown away.
  const bool reads_on = offset_ >= window_offset_ && offset_ <= window_end + kNearBytes;
  next_window_bytes_ =
      reads_on && !window_.empty() ? std::min(2 * next_window_bytes_, max_window_bytes_) : kMinWindowBytes;
  const uint64_t wanted = std::max<uint64_t>(next_window_bytes_, length);
  // The window may reach past end_, which is often only the end of one value.
  const size_t size = static_cast<size_t>(std::min<uint64_t>(wanted, source_.size() - offset_));
  window_.resize(size);
  window_offset_ = offset_;
  if (absl::Status read = source_.ReadAt(offset_, absl::MakeSpan(window_)); !read.ok()) {
    window_.clear();
    return read;
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MsgpackScanner::Unsigned(int bytes) {
  CAIRN_RETURN_IF_ERROR(Fill(static_cast<uint64_t>(bytes)));
  const uint64_t value = BigEndian(window_.data() + (offset_ - window_offset_), bytes);
  offset_ += static_cast<uint64_t>(bytes);
  return value;
}

// Every item takes a byte at least, so a count beyond the bytes that are left is as wrong as a length.
absl::Status MsgpackScanner::CheckLength(const MsgpackToken& token) const {
  const uint64_t left = end_ - offset_;
  const uint64_t least = token.type == Type::kMap ? 2 * token.length : token.length;
  if (least <= left) return absl::OkStatus();
  const absl::string_view unit =
      token.type == Type::kArray ? " items" : (token.type == Type::kMap ? " pairs" : " bytes");
  return absl::OutOfRangeError(absl::StrCat("offset ", token.offset, ": ", MsgpackTypeName(token.type), " of ",
                                            token.length, unit, ", but the bytes end at offset ", end_, ", ", left,
                                            " further on"));
}

absl::StatusOr<MsgpackToken> MsgpackScanner::Next() {
  MsgpackToken token{.offset = offset_};
  CAIRN_ASSIGN_OR_RETURN(const uint64_t first, Unsigned(1));
  const auto code = static_cast<uint8_t>(first);

  // How many bytes the length takes, and whether an ext type follows it.
  int length_bytes = 0;
  bool is_ext = false;
  if (code <= 0x7f) {
    token.type = Type::kUint;
    token.number = code;
    return token;
  } else if (code >= 0xe0) {
    return SignedToken(token.offset, static_cast<int8_t>(code));
  } else if (code <= 0x8f) {
    token.type = Type::kMap;
    token.length = code & 0x0f;
  } else if (code <= 0x9f) {
    token.type = Type::kArray;
    token.length = code & 0x0f;
  } else if (code <= 0xbf) {
    token.type = Type::kStr;
    token.length = code & 0x1f;
  } else {
    switch (code) {
      case 0xc0:
        return token;
      case 0xc2:
      case 0xc3:
        token.type = Type::kBool;
        token.boolean = code == 0xc3;
        return token;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        token.type = Type::kBin;
        length_bytes = 1 << (code - 0xc4);
        break;
      case 0xc7:
      case 0xc8:
      case 0xc9:
        token.type = Type::kExt;
        is_ext = true;
        length_bytes = 1 << (code - 0xc7);
        break;
      case 0xca: {
        CAIRN_ASSIGN_OR_RETURN(const uint64_t bits, Unsigned(4));
        token.type = Type::kFloat;
        token.real = std::bit_cast<float>(static_cast<uint32_t>(bits));
        return token;
      }
      case 0xcb: {
        CAIRN_ASSIGN_OR_RETURN(const uint64_t bits, Unsigned(8));
        token.type = Type::kFloat;
        token.real = std::bit_cast<double>(bits);
        return token;
      }
      case 0xcc:
      case 0xcd:
      case 0xce:
      case 0xcf: {
        CAIRN_ASSIGN_OR_RETURN(token.number, Unsigned(1 << (code - 0xcc)));
        token.type = Type::kUint;
        return token;
      }
      case 0xd0:
      case 0xd1:
      case 0xd2:
      case 0xd3: {
        const int bytes = 1 << (code - 0xd0);
        CAIRN_ASSIGN_OR_RETURN(const uint64_t bits, Unsigned(bytes));
        const int unused = 64 - 8 * bytes;
        return SignedToken(token.offset, static_cast<int64_t>(bits << unused) >> unused);
      }
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        token.type = Type::kExt;
        is_ext = true;
        token.length = uint64_t{1} << (code - 0xd4);
        break;
      case 0xd9:
      case 0xda:
      case 0xdb:
        token.type = Type::kStr;
        length_bytes = 1 << (code - 0xd9);
        break;
      case 0xdc:
      case 0xdd:
        token.type = Type::kArray;
        length_bytes = 2 << (code - 0xdc);
        break;
      case 0xde:
      case 0xdf:
        token.type = Type::kMap;
        length_bytes = 2 << (code - 0xde);
        break;
      default:  // 0xc1, the one code that msgpack never uses.
        return absl::InvalidArgumentError(
            absl::StrFormat("offset %d: byte 0x%02x begins no msgpack value", token.offset, code));
    }
  }
  if (length_bytes > 0) {
    CAIRN_ASSIGN_OR_RETURN(token.length, Unsigned(length_bytes));
  }
  if (is_ext) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t ext_type, Unsigned(1));
    token.ext_type = static_cast<int8_t>(ext_type);
  }
  CAIRN_RETURN_IF_ERROR(CheckLength(token));
  return token;
}

absl::Status MsgpackScanner::Read(uint64_t length, std::string* bytes) {
  CAIRN_RETURN_IF_ERROR(Fill(std::min<uint64_t>(length, 1)));
  const uint64_t available = length == 0 ? 0 : window_offset_ + window_.size() - offset_;
  if (length <= available) {
    bytes->assign(window_.data() + (offset_ - window_offset_), static_cast<size_t>(length));
  } else {
    if (length > end_ - offset_) return Fill(length);
    bytes->resize(static_cast<size_t>(length));
    CAIRN_RETURN_IF_ERROR(source_.ReadAt(offset_, absl::MakeSpan(*bytes)));
  }
  offset_ += length;
  return absl::OkStatus();
}

absl::Status MsgpackScanner::Skip(uint64_t length) {
  if (offset_ > end_ || length > end_ - offset_) return Fill(length);
  offset_ += length;
  return absl::OkStatus();
}

absl::Status MsgpackScanner::SkipValue(uint32_t max_depth) {
  std::vector<uint64_t> left = {1};  // Values still to come, per open container.
  while (!left.empty()) {
    if (left.back() == 0) {
      left.pop_back();
      continue;
    }
    --left.back();
    CAIRN_ASSIGN_OR_RETURN(const MsgpackToken token, Next());
    switch (token.type) {
      case Type::kStr:
      case Type::kBin:
      case Type::kExt:
        CAIRN_RETURN_IF_ERROR(Skip(token.length));
        break;
      case Type::kArray:
      case Type::kMap:
        if (left.size() > max_depth) {
          return absl::InvalidArgumentError(
              absl::StrCat("offset ", token.offset, ": containers more than ", max_depth, " levels deep"));
        }
        left.push_back(token.type == Type::kMap ? 2 * token.length : token.length);
        break;
      default:
        break;
    }
  }
  return absl::OkStatus();
}

}  // namespace cairn
