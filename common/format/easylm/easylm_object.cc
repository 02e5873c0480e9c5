#include "common/format/easylm/easylm_object.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/flax_msgpack/scan_errors.h"

namespace cairn {
namespace {

using Type = MsgpackToken::Type;

absl::StatusOr<KeyPath> ScanKey(MsgpackScanner& scanner, const ReadLimits& limits) {
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken array, scanner.Next());
  if (array.type != Type::kArray) return UnexpectedToken(array, "a key (array of str)");
  if (array.length == 0) return MalformedAt(array.offset, "an empty key");
  if (array.length > limits.max_depth) {
    return MalformedAt(array.offset, absl::StrCat("a key of ", array.length, " segments, the limit is ",
                                                  limits.max_depth));
  }
  KeyPath key;
  uint64_t name_bytes = 0;
  for (uint64_t i = 0; i < array.length; ++i) {
    CAIRN_ASSIGN_OR_RETURN(const MsgpackToken token, scanner.Next());
    if (token.type != Type::kStr) return UnexpectedToken(token, "a segment of a key (str)");
    name_bytes += token.length;
    if (name_bytes > limits.max_name_bytes) {
      return MalformedAt(token.offset, absl::StrCat("a key of ", name_bytes, " bytes or more, the limit is ",
                                                    limits.max_name_bytes));
    }
    std::string segment;
    CAIRN_RETURN_IF_ERROR(scanner.Read(token.length, &segment));
    if (!IsUtf8(segment)) return MalformedAt(token.offset, "a segment of a key that is no UTF-8");
    key.Append(std::move(segment));
  }
  return key;
}

}  // namespace

absl::StatusOr<EasyLmObject> ScanEasyLmObject(MsgpackScanner& scanner, const ReadLimits& limits) {
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken pair, scanner.Next());
  if (pair.type != Type::kArray || pair.length != 2) {
    return UnexpectedToken(pair, "an array of the 2 items key, value");
  }
  EasyLmObject object;
  CAIRN_ASSIGN_OR_RETURN(object.key, ScanKey(scanner, limits));
  CAIRN_ASSIGN_OR_RETURN(const MsgpackToken value, scanner.Next());
  if (value.type != Type::kBin) return UnexpectedToken(value, "a value (bin)");
  object.value_offset = scanner.offset();
  object.value_bytes = value.length;
  return object;
}

}  // namespace cairn
