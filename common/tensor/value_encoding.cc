// EncodeValue and DecodeValue of value.h. VALUE.md beside this file has the table of the bytes.

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/tensor/value.h"

namespace cairn {
namespace {

constexpr int kMaxDepth = 64;

void PutVarint(uint64_t number, std::string* out) {
  for (; number >= 0x80; number >>= 7) out->push_back(static_cast<char>(number | 0x80));
  out->push_back(static_cast<char>(number));
}

void PutDouble(double number, std::string* out) {
  const uint64_t bits = std::bit_cast<uint64_t>(number);
  for (int shift = 0; shift < 64; shift += 8) out->push_back(static_cast<char>(bits >> shift));
}

void Put(const Value& value, std::string* out) {
  out->push_back(static_cast<char>(value.kind));
  switch (value.kind) {
    case Value::Kind::kNone:
      break;
    case Value::Kind::kBool:
      out->push_back(value.boolean ? 1 : 0);
      break;
    case Value::Kind::kInt: {
      const uint64_t bits = static_cast<uint64_t>(value.integer);
      PutVarint(bits << 1 ^ (value.integer < 0 ? ~uint64_t{0} : 0), out);
      break;
    }
    case Value::Kind::kFloat:
      PutDouble(value.number.real(), out);
      break;
    case Value::Kind::kComplex:
      PutDouble(value.number.real(), out);
      PutDouble(value.number.imag(), out);
      break;
    case Value::Kind::kBigInt:
    case Value::Kind::kString:
    case Value::Kind::kBytes:
    case Value::Kind::kOpaque:
      PutVarint(value.text.size(), out);
      out->append(value.text);
      break;
    case Value::Kind::kList:
    case Value::Kind::kTuple:
      PutVarint(value.length, out);
      PutVarint(value.items.size(), out);
      for (const Value& item : value.items) Put(item, out);
      break;
    case Value::Kind::kDict:
      PutVarint(value.pairs.size(), out);
      for (const auto& [key, item] : value.pairs) {
        Put(key, out);
        Put(item, out);
      }
      break;
  }
}

bool IsDecimal(absl::string_view text) {
  if (!text.empty() && text[0] == '-') text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == absl::string_view::npos;
}

class Decoder {
 public:
  explicit Decoder(absl::string_view bytes) : bytes_(bytes) {}

  absl::StatusOr<Value> DecodeAll() {
    CAIRN_ASSIGN_OR_RETURN(Value value, Decode(0));
    if (at_ != bytes_.size()) return Error(absl::StrCat("ended, but ", Left(), " bytes follow"));
    return value;
  }

 private:
  size_t Left() const { return bytes_.size() - at_; }

  absl::Status Error(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat("encoded value, offset ", at_, " of ", bytes_.size(), ": ", what));
  }

  absl::StatusOr<Value> Decode(int depth) {
    CAIRN_ASSIGN_OR_RETURN(const absl::string_view kind, Take(1));
    Value value;
    value.kind = static_cast<Value::Kind>(kind[0]);
    switch (value.kind) {
      case Value::Kind::kNone:
        return value;
      case Value::Kind::kBool: {
        CAIRN_ASSIGN_OR_RETURN(const absl::string_view byte, Take(1));
        if (byte[0] != 0 && byte[0] != 1) return Error("expected a bool, 0 or 1");
        value.boolean = byte[0] == 1;
        return value;
      }
      case Value::Kind::kInt: {
        CAIRN_ASSIGN_OR_RETURN(const uint64_t zigzag, TakeVarint());
        value.integer = static_cast<int64_t>(zigzag >> 1 ^ (zigzag & 1 ? ~uint64_t{0} : 0));
        return value;
      }
      case Value::Kind::kFloat: {
        CAIRN_ASSIGN_OR_RETURN(const double real, TakeDouble());
        value.number = real;
        return value;
      }
      case Value::Kind::kComplex: {
        CAIRN_ASSIGN_OR_RETURN(const double real, TakeDouble());
        CAIRN_ASSIGN_OR_RETURN(const double imaginary, TakeDouble());
        value.number = {real, imaginary};
        return value;
      }
      case Value::Kind::kBigInt:
      case Value::Kind::kString:
      case Value::Kind::kBytes:
      case Value::Kind::kOpaque: {
        CAIRN_ASSIGN_OR_RETURN(const uint64_t length, TakeVarint());
        CAIRN_ASSIGN_OR_RETURN(const absl::string_view text, Take(length));
        if (value.kind == Value::Kind::kBigInt && !IsDecimal(text)) return Error("expected a decimal number");
        value.text = std::string(text);
        return value;
      }
      case Value::Kind::kList:
      case Value::Kind::kTuple: {
        CAIRN_ASSIGN_OR_RETURN(value.length, TakeVarint());
        CAIRN_ASSIGN_OR_RETURN(const uint64_t count, TakeCount(/*least_bytes=*/1, depth));
        for (uint64_t i = 0; i < count; ++i) {
          CAIRN_ASSIGN_OR_RETURN(Value item, Decode(depth + 1));
          value.items.push_back(std::move(item));
        }
        return value;
      }
      case Value::Kind::kDict: {
        CAIRN_ASSIGN_OR_RETURN(const uint64_t count, TakeCount(/*least_bytes=*/2, depth));
        for (uint64_t i = 0; i < count; ++i) {
          CAIRN_ASSIGN_OR_RETURN(Value key, Decode(depth + 1));
          CAIRN_ASSIGN_OR_RETURN(Value item, Decode(depth + 1));
          value.pairs.emplace_back(std::move(key), std::move(item));
        }
        return value;
      }
    }
    return Error(absl::StrCat("unknown kind ", static_cast<int>(static_cast<unsigned char>(kind[0]))));
  }

  absl::StatusOr<absl::string_view> Take(uint64_t length) {
    if (length > Left()) return Error(absl::StrCat("expected ", length, " more bytes, found ", Left()));
    const absl::string_view taken = bytes_.substr(at_, length);
    at_ += length;
    return taken;
  }

  absl::StatusOr<uint64_t> TakeVarint() {
    uint64_t number = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      CAIRN_ASSIGN_OR_RETURN(const absl::string_view byte, Take(1));
      const uint64_t bits = byte[0] & 0x7f;
      if (shift == 63 && bits > 1) break;
      number |= bits << shift;
      if ((byte[0] & 0x80) == 0) {
        // One spelling for each number, so that equal values are equal bytes.
        if (bits == 0 && shift > 0) return Error("varint longer than it has to be");
        return number;
      }
    }
    return Error("varint beyond 64 bits");
  }

  absl::StatusOr<double> TakeDouble() {
    CAIRN_ASSIGN_OR_RETURN(const absl::string_view raw, Take(8));
    uint64_t bits = 0;
    for (int i = 0; i < 8; ++i) bits |= static_cast<uint64_t>(static_cast<unsigned char>(raw[i])) << 8 * i;
    return std::bit_cast<double>(bits);
  }

  // How many children a container at that depth has, each of at least that many bytes. Nothing is reserved
  // for them: a count that fits the rest of the bytes at every level of nesting would reserve the rest at
  // every level.
  absl::StatusOr<uint64_t> TakeCount(uint64_t least_bytes, int depth) {
    CAIRN_ASSIGN_OR_RETURN(const uint64_t count, TakeVarint());
    if (count > Left() / least_bytes)
      return Error(absl::StrCat(count, " items do not fit the ", Left(), " bytes left"));
    if (depth >= kMaxDepth) return Error(absl::StrCat("containers nested deeper than ", kMaxDepth));
    return count;
  }

  const absl::string_view bytes_;
  size_t at_ = 0;
};

}  // namespace

std::string EncodeValue(const Value& value) {
  std::string bytes;
  Put(value, &bytes);
  return bytes;
}

absl::StatusOr<Value> DecodeValue(absl::string_view bytes) { return Decoder(bytes).DecodeAll(); }

}  // namespace cairn
