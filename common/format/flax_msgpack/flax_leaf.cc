#include "common/format/flax_msgpack/flax_leaf.h"

#include <limits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/flax_msgpack/flax_codes.h"
#include "common/format/flax_msgpack/scan_errors.h"

namespace cairn {
namespace {

using Type = MsgpackToken::Type;

// Reads one value, which is no array.
class ValueScan {
 public:
  ValueScan(MsgpackScanner& scanner, const ReadLimits& limits, FlaxBudget& budget)
      : scanner_(scanner), limits_(limits), budget_(budget) {}

  // The value whose header was just read.
  absl::StatusOr<Value> Scan(const MsgpackToken& token, uint32_t depth = 0);

 private:
  absl::StatusOr<std::string> ScanText(const MsgpackToken& token);
  absl::StatusOr<Value> ScanList(const MsgpackToken& token, uint32_t depth);
  absl::StatusOr<Value> ScanDict(const MsgpackToken& token, uint32_t depth);

  MsgpackScanner& scanner_;
  const ReadLimits& limits_;
  FlaxBudget& budget_;
  uint64_t text_bytes_ = 0;  // Of this value.
};

absl::StatusOr<std::string> ValueScan::ScanText(const MsgpackToken& token) {
  text_bytes_ += token.length;  // At most the file's size.
  if (text_bytes_ > limits_.max_value_bytes) {
    return MalformedAt(token.offset, absl::StrCat("a value of ", text_bytes_, " bytes or more, the limit is ",
                                                  limits_.max_value_bytes));
  }
  if (token.length > budget_.text_bytes) {
    return MalformedAt(token.offset, absl::StrCat("values of more than ", limits_.max_header_bytes,
                                                  " bytes in one checkpoint"));
  }
  budget_.text_bytes -= token.length;
  std::string text;
  CAIRN_RETURN_IF_ERROR(scanner_.Read(token.length, &text));
  if (token.type == Type::kStr && !IsUtf8(text)) return MalformedAt(token.offset, "a str that is no UTF-8");
  return text;
}

absl::StatusOr<Value> ValueScan::ScanList(const MsgpackToken& token, uint32_t depth) {
  Value list;
  list.kind = Value::Kind::kList;
  for (uint64_t i = 0; i < token.length; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const MsgpackToken item_token, scanner_.Next());
    CAIRN_ASSIGN_OR_RETURN(Value item, Scan(item_token, depth + 1));
    list.items.push_back(std::move(item));
  }
  return list;
}

absl::StatusOr<Value> ValueScan::ScanDict(const MsgpackToken& token, uint32_t depth) {
  Value dict;
  dict.kind = Value::Kind::kDict;
  absl::flat_hash_set<std::string> seen;
  for (uint64_t i = 0; i < token.length; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const MsgpackToken key_token, scanner_.Next());
    if (key_token.type == Type::kArray || key_token.type == Type::kMap || key_token.type == Type::kExt) {
      return UnexpectedToken(key_token, "a plain key of a dict");
    }
    CAIRN_ASSIGN_OR_RETURN(Value key, Scan(key_token, depth + 1));
    if (key.kind == Value::Kind::kString && key.text == kFlaxChunkedMark) {
      return MalformedAt(key_token.offset, depth > 0 ? "a chunked array inside a list or dict, where only values may be"
                                                     : "a chunked array with other keys than its mark, shape and chunks");
    }
    if (!seen.insert(EncodeValue(key)).second) {
      return MalformedAt(key_token.offset, absl::StrCat("the key ", QuotedForMessage(ValueToString(key)),
                                                        " stands twice in one dict"));
    }
    CAIRN_ASSIGN_OR_RETURN(const MsgpackToken item_token, scanner_.Next());
    CAIRN_ASSIGN_OR_RETURN(Value item, Scan(item_token, depth + 1));
    dict.pairs.emplace_back(std::move(key), std::move(item));
  }
  return dict;
}

absl::StatusOr<Value> ValueScan::Scan(const MsgpackToken& token, uint32_t depth) {
  if (budget_.items == 0) {
    return MalformedAt(token.offset, absl::StrCat("values of more than ", limits_.max_entries,
                                                  " items in one checkpoint"));
  }
  --budget_.items;
  switch (token.type) {
    case Type::kNil:
      return Value::None();
    case Type::kBool:
      return Value::Bool(token.boolean);
    case Type::kNegative:
      return Value::Int(token.negative);
    case Type::kUint: {
      if (token.number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return Value::Int(static_cast<int64_t>(token.number));
      }
      Value big;
      big.kind = Value::Kind::kBigInt;
      big.text = absl::StrCat(token.number);
      return big;
    }
    case Type::kFloat:
      return Value::Float(token.real);
    case Type::kStr: {
      CAIRN_ASSIGN_OR_RETURN(std::string text, ScanText(token));
      return Value::String(std::move(text));
    }
    case Type::kBin: {
      CAIRN_ASSIGN_OR_RETURN(std::string text, ScanText(token));
      return Value::Bytes(std::move(text));
    }
    case Type::kExt: {
      if (token.ext_type != kFlaxComplexExt) {
        return MalformedAt(token.offset, absl::StrCat("ext of type ", static_cast<int>(token.ext_type),
                                                      " inside a list or dict, where only values may be"));
      }
      CAIRN_ASSIGN_OR_RETURN(const std::complex<double> number, ScanFlaxComplex(scanner_, token));
      return Value::Complex(number);
    }
    case Type::kArray:
    case Type::kMap:
      break;
  }
  if (depth >= limits_.max_depth) {
    return MalformedAt(token.offset, absl::StrCat("a value of more than ", limits_.max_depth, " levels"));
  }
  return token.type == Type::kArray ? ScanList(token, depth) : ScanDict(token, depth);
}

}  // namespace

absl::StatusOr<FlaxLeaf> ScanFlaxLeaf(MsgpackScanner& scanner, const ReadLimits& limits, FlaxBudget& budget) {
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken token, scanner.Next());
  if (token.type == Type::kExt && token.ext_type != kFlaxComplexExt) {
    if (token.ext_type != kFlaxArrayExt && token.ext_type != kFlaxScalarExt) {
      return MalformedAt(token.offset, absl::StrCat("unknown ext type ", static_cast<int>(token.ext_type),
                                                    "; Flax writes 1 (array), 2 (complex), 3 (numpy scalar)"));
    }
    return ScanFlaxArray(scanner, token);
  }
  if (token.type == Type::kMap) {
    CAIRN_ASSIGN_OR_RETURN(const bool chunked, IsFlaxChunkedArray(scanner, token, limits.max_depth));
    if (chunked) return ScanFlaxChunkedArray(scanner, token, &budget.items);
  }
  return ValueScan(scanner, limits, budget).Scan(token);
}

bool BeginsLikeFlaxLeaf(MsgpackScanner& scanner) {
  const absl::StatusOr<MsgpackToken> token = scanner.Next();
  if (!token.ok()) return false;
  switch (token->type) {
    case Type::kExt: {
      if (scanner.offset() + token->length != scanner.end()) return false;
      const absl::StatusOr<MsgpackToken> body = scanner.Next();
      return body.ok() && body->type == Type::kArray &&
             body->length == (token->ext_type == kFlaxComplexExt ? 2u : 3u) && token->ext_type >= kFlaxArrayExt &&
             token->ext_type <= kFlaxScalarExt;
    }
    case Type::kStr:
    case Type::kBin:
      return scanner.offset() + token->length == scanner.end();
    case Type::kArray:
    case Type::kMap:
      return true;
    default:
      return scanner.AtEnd();
  }
}

}  // namespace cairn
