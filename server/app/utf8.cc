#include "server/app/utf8.h"

#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/utf8.h"

namespace cairn {
namespace {

// Takes one code point off the front, or one byte that is none.
std::optional<char32_t> Take(absl::string_view* bytes) {
  const std::optional<char32_t> code = ConsumeUtf8(bytes);
  if (!code.has_value()) bytes->remove_prefix(1);
  return code;
}

// C1 counts as well: U+009B starts an escape sequence on a terminal. So do the line and paragraph separators.
bool IsControl(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029;
}

std::string Escaped(absl::string_view bytes, bool quoting) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const absl::string_view before = bytes;
    const std::optional<char32_t> code = Take(&bytes);
    if (!code.has_value()) {
      out += "\xEF\xBF\xBD";
    } else if (code == '\n') {
      out += "\\n";
    } else if (code == '\r') {
      out += "\\r";
    } else if (code == '\t') {
      out += "\\t";
    } else if (IsControl(*code)) {
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<uint32_t>(*code));
    } else {
      if (quoting && (code == '"' || code == '\\')) out += '\\';
      absl::StrAppend(&out, before.substr(0, before.size() - bytes.size()));
    }
  }
  return out;
}

}  // namespace

bool IsPrintableUtf8(absl::string_view bytes) {
  while (!bytes.empty()) {
    const std::optional<char32_t> code = Take(&bytes);
    if (!code.has_value() || IsControl(*code)) return false;
  }
  return true;
}

std::string OneLine(absl::string_view bytes) { return Escaped(bytes, false); }

std::string JsonQuoted(absl::string_view bytes) { return absl::StrCat("\"", Escaped(bytes, true), "\""); }

}  // namespace cairn
