#include "common/base/utf8.h"

#include <cstddef>

namespace cairn {

std::optional<char32_t> ConsumeUtf8(absl::string_view* text) {
  if (text->empty()) return std::nullopt;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>((*text)[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    text->remove_prefix(1);
    return lead;
  }
  size_t length;
  char32_t code, smallest;  // The smallest code point that needs this length: less is an overlong form.
  if (lead >> 5 == 0x6) {
    length = 2, code = lead & 0x1f, smallest = 0x80;
  } else if (lead >> 4 == 0xe) {
    length = 3, code = lead & 0x0f, smallest = 0x800;
  } else if (lead >> 3 == 0x1e) {
    length = 4, code = lead & 0x07, smallest = 0x10000;
  } else {
    return std::nullopt;
  }
  if (text->size() < length) return std::nullopt;
  for (size_t i = 1; i < length; ++i) {
    if (byte(i) >> 6 != 0x2) return std::nullopt;
    code = code << 6 | (byte(i) & 0x3f);
  }
  if (code < smallest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return std::nullopt;
  text->remove_prefix(length);
  return code;
}

bool IsUtf8(absl::string_view text) {
  while (!text.empty()) {
    if (!ConsumeUtf8(&text).has_value()) return false;
  }
  return true;
}

}  // namespace cairn
