#include "server/app/utf8.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace cairn {
namespace {

constexpr uint32_t kMalformed = 0xFFFFFFFF;

// Takes one code point off the front; kMalformed takes one byte.
uint32_t TakeCodePoint(absl::string_view* bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>((*bytes)[i]); };
  const uint8_t first = at(0);
  size_t length = 1;
  uint32_t code = first;
  uint32_t least = 0;  // A smaller value has a shorter form: overlong forms hide control characters.
  if (first >= 0xF0 && first <= 0xF4) {
    length = 4, code = first & 0x07, least = 0x10000;
  } else if (first >= 0xE0 && first < 0xF0) {
    length = 3, code = first & 0x0F, least = 0x800;
  } else if (first >= 0xC2 && first < 0xE0) {
    length = 2, code = first & 0x1F, least = 0x80;
  } else if (first >= 0x80) {
    code = kMalformed;
  }
  if (length > bytes->size()) code = kMalformed;
  for (size_t i = 1; code != kMalformed && i < length; ++i) {
    code = (at(i) & 0xC0) == 0x80 ? code << 6 | (at(i) & 0x3F) : kMalformed;
  }
  if (code < least || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) code = kMalformed;
  bytes->remove_prefix(code == kMalformed ? 1 : length);
  return code;
}

// C1 counts as well: U+009B starts an escape sequence on a terminal. So do the line and paragraph separators.
bool IsControl(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029;
}

std::string Escaped(absl::string_view bytes, bool quoting) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const absl::string_view before = bytes;
    const uint32_t code = TakeCodePoint(&bytes);
    if (code == kMalformed) {
      out += "\xEF\xBF\xBD";
    } else if (code == '\n') {
      out += "\\n";
    } else if (code == '\r') {
      out += "\\r";
    } else if (code == '\t') {
      out += "\\t";
    } else if (IsControl(code)) {
      absl::StrAppend(&out, absl::StrFormat("\\u%04x", code));
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
    const uint32_t code = TakeCodePoint(&bytes);
    if (code == kMalformed || IsControl(code)) return false;
  }
  return true;
}

std::string OneLine(absl::string_view bytes) { return Escaped(bytes, false); }

std::string JsonQuoted(absl::string_view bytes) { return absl::StrCat("\"", Escaped(bytes, true), "\""); }

}  // namespace cairn
