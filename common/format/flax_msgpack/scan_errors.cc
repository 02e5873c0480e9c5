#include "common/format/flax_msgpack/scan_errors.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace cairn {
namespace {

using Type = MsgpackToken::Type;

std::string Described(const MsgpackToken& token) {
  const absl::string_view name = MsgpackTypeName(token.type);
  switch (token.type) {
    case Type::kUint:
      return absl::StrCat(name, " ", token.number);
    case Type::kNegative:
      return absl::StrCat(name, " ", token.negative);
    case Type::kStr:
    case Type::kBin:
      return absl::StrCat(name, " of ", token.length, " bytes");
    case Type::kArray:
      return absl::StrCat(name, " of ", token.length, " items");
    case Type::kMap:
      return absl::StrCat(name, " of ", token.length, " pairs");
    case Type::kExt:
      return absl::StrCat(name, " of type ", static_cast<int>(token.ext_type));
    default:
      return std::string(name);
  }
}

}  // namespace

absl::Status MalformedAt(uint64_t offset, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("offset ", offset, ": ", what));
}

absl::Status UnexpectedToken(const MsgpackToken& token, absl::string_view expected) {
  return MalformedAt(token.offset, absl::StrCat("expected ", expected, ", found ", Described(token)));
}

std::string QuotedForMessage(absl::string_view bytes) {
  return absl::StrCat("\"", absl::CHexEscape(bytes.substr(0, 80)), bytes.size() > 80 ? "\"..." : "\"");
}

}  // namespace cairn
