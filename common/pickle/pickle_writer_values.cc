// The single values of pickle_writer.h.

#include <algorithm>
#include <bit>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/pickle/big_int.h"
#include "common/pickle/pickle_opcodes.h"
#include "common/pickle/pickle_text.h"
#include "common/pickle/pickle_writer.h"
#include "common/pickle/python2_names.h"

namespace cairn {
namespace {

constexpr size_t kMaxRememberedString = 1024;  // Longer ones are hardly ever written twice.
constexpr size_t kMaxBigIntDigits = 100'000;
constexpr ptrdiff_t kMaxDots = 16;  // In the name of a class within a class within ...
constexpr uint32_t kMax32 = std::numeric_limits<uint32_t>::max();

uint8_t Byte(PickleOp op) { return static_cast<uint8_t>(op); }

}  // namespace

void PickleWriter::None() {
  if (!BeforeValue()) return;
  Op(Byte(PickleOp::kNone));
  AfterValue();
}

void PickleWriter::Bool(bool value) {
  if (!BeforeValue()) return;
  Op(Byte(value ? PickleOp::kNewTrue : PickleOp::kNewFalse));
  AfterValue();
}

void PickleWriter::Int(int64_t value) {
  if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max()) {
    std::string bytes;
    for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(static_cast<uint64_t>(value) >> 8 * i));
    while ((bytes.back() == 0 && bytes[bytes.size() - 2] >= 0) || (bytes.back() == -1 && bytes[bytes.size() - 2] < 0)) {
      bytes.pop_back();
    }
    return BigIntBytes(bytes);
  }
  if (!BeforeValue()) return;
  if (value >= 0 && value <= 0xff) {
    Op(Byte(PickleOp::kBinInt1));
    Number(static_cast<uint64_t>(value), 1);
  } else if (value >= 0 && value <= 0xffff) {
    Op(Byte(PickleOp::kBinInt2));
    Number(static_cast<uint64_t>(value), 2);
  } else {
    Op(Byte(PickleOp::kBinInt));
    Number(static_cast<uint64_t>(value), 4);
  }
  AfterValue();
}

void PickleWriter::BigInt(absl::string_view decimal) {
  if (decimal.size() > kMaxBigIntDigits) {
    return Refuse(absl::StrCat("an int of ", decimal.size(), " digits; ", kMaxBigIntDigits, " at most are written"));
  }
  const std::optional<std::string> bytes = DecimalToTwosComplement(decimal);
  if (!bytes.has_value()) return Refuse("an int whose text is no decimal number");
  BigIntBytes(*bytes);
}

void PickleWriter::BigIntBytes(absl::string_view twos_complement) {
  if (twos_complement.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
    return Refuse("an int of 2 GiB");
  if (!BeforeValue()) return;
  if (twos_complement.size() <= 0xff) {
    Op(Byte(PickleOp::kLong1));
    Number(twos_complement.size(), 1);
  } else {
    Op(Byte(PickleOp::kLong4));
    Number(twos_complement.size(), 4);
  }
  Append(twos_complement);
  AfterValue();
}

void PickleWriter::Float(double value) {
  if (!BeforeValue()) return;
  Op(Byte(PickleOp::kBinFloat));
  Number(__builtin_bswap64(std::bit_cast<uint64_t>(value)), 8);
  AfterValue();
}

void PickleWriter::Complex(double real, double imaginary) {
  BeginReduce();
  Global("builtins", "complex");
  BeginTuple(2);
  Float(real);
  Float(imaginary);
  End();
  End();
}

void PickleWriter::EmitStr(absl::string_view utf8) {
  const bool remember = utf8.size() <= kMaxRememberedString;
  if (remember) {
    if (const auto known = strings_.find(utf8); known != strings_.end()) {
      top_memo_ = known->second;
      return EmitGet(known->second);
    }
  }
  if (protocol_ >= 4 && utf8.size() <= 0xff) {
    Op(Byte(PickleOp::kShortBinUnicode));
    Number(utf8.size(), 1);
  } else if (utf8.size() <= kMax32) {
    Op(Byte(PickleOp::kBinUnicode));
    Number(utf8.size(), 4);
  } else if (protocol_ >= 4) {
    Op(Byte(PickleOp::kBinUnicode8));
    Number(utf8.size(), 8);
  } else {
    return Refuse("a str of 4 GiB, which protocol 2 cannot hold");
  }
  Append(utf8);
  if (remember) {
    top_memo_ = EmitPut();
    strings_.emplace(utf8, *top_memo_);
  }
}

void PickleWriter::Str(absl::string_view utf8) {
  if (!BeforeValue()) return;
  if (Utf8FormOf(utf8) == Utf8Form::kNone) return Refuse("a str that is no UTF-8");
  EmitStr(utf8);
  AfterValue();
}

void PickleWriter::Python2Str(absl::string_view bytes) {
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) return Refuse("a str of 2 GiB");
  if (!BeforeValue()) return;
  const bool is_short = bytes.size() <= 0xff;
  Op(Byte(is_short ? PickleOp::kShortBinString : PickleOp::kBinString));
  Number(bytes.size(), is_short ? 1 : 4);
  Append(bytes);
  AfterValue();
}

void PickleWriter::Bytes(absl::string_view bytes) {
  if (protocol_ < 4) {
    // There are no bytes in protocol 2: they come as a str in Latin-1.
    BeginReduce();
    Global("_codecs", "encode");
    BeginTuple(2);
    Str(Latin1ToUtf8(bytes));
    Str("latin1");
    End();
    return End();
  }
  if (!BeforeValue()) return;
  const PickleOp op = bytes.size() <= 0xff     ? PickleOp::kShortBinBytes
                      : bytes.size() <= kMax32 ? PickleOp::kBinBytes
                                               : PickleOp::kBinBytes8;
  Op(Byte(op));
  Number(bytes.size(), op == PickleOp::kShortBinBytes ? 1 : op == PickleOp::kBinBytes ? 4 : 8);
  Append(bytes);
  AfterValue();
}

void PickleWriter::ByteArray(absl::string_view bytes) {
  BeginReduce();
  Global("builtins", "bytearray");
  BeginTuple(1);
  Bytes(bytes);
  End();
  End();
}

void PickleWriter::EmitGlobal(absl::string_view module, absl::string_view name) {
  const auto known = globals_.find(std::pair<std::string, std::string>(module, name));
  if (known != globals_.end()) {
    top_memo_ = known->second;
    return EmitGet(known->second);
  }
  if (protocol_ >= 4) {
    EmitStr(module);
    EmitStr(name);
    Op(Byte(PickleOp::kStackGlobal));
  } else if (const size_t dot = name.rfind('.'); dot != absl::string_view::npos) {
    if (std::count(name.begin(), name.end(), '.') > kMaxDots)
      return Refuse("a global of more than 16 names within another");
    EmitGlobal("builtins", "getattr");
    EmitGlobal(module, name.substr(0, dot));
    EmitStr(name.substr(dot + 1));
    Op(Byte(PickleOp::kTuple2));
    Op(Byte(PickleOp::kReduce));
  } else {
    const PickledName old = ToPython2Name({module, name});
    if (module.find('\n') != absl::string_view::npos || name.find('\n') != absl::string_view::npos) {
      return Refuse("a global whose name has a line break, which protocol 2 cannot hold");
    }
    Op(Byte(PickleOp::kGlobal));
    Append(old.first);
    Append("\n");
    Append(old.second);
    Append("\n");
  }
  top_memo_ = EmitPut();
  globals_.emplace(std::pair<std::string, std::string>(module, name), *top_memo_);
}

void PickleWriter::Global(absl::string_view module, absl::string_view name) {
  if (!BeforeValue()) return;
  EmitGlobal(module, name);
  AfterValue();
}

void PickleWriter::IntTuple(absl::Span<const int64_t> values) {
  BeginTuple(values.size() <= 3 ? static_cast<int32_t>(values.size()) : -1);
  for (const int64_t value : values) Int(value);
  End();
}

void PickleWriter::EmptyOrderedDict() {
  BeginReduce();
  Global("collections", "OrderedDict");
  IntTuple({});
  End();
}

}  // namespace cairn
