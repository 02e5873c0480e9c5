#include "common/pickle/pickle_text.h"

#include <cstring>

#include "absl/strings/ascii.h"
#include "common/base/utf8.h"

namespace cairn {
namespace {

bool IsAscii(absl::string_view text) {
  uint64_t bits = 0;
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    bits |= word;
  }
  for (; i < text.size(); ++i) bits |= static_cast<unsigned char>(text[i]);
  return (bits & 0x8080808080808080) == 0;
}

bool IsSurrogate(absl::string_view text) {
  return text.size() >= 3 && text[0] == '\xed' && (text[1] & 0xe0) == 0xa0 && (text[2] & 0xc0) == 0x80;
}

void AppendCodePoint(char32_t code, std::string* out) {
  const auto put = [&](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6), put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12), put(0x80 | (code >> 6 & 0x3f)), put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18), put(0x80 | (code >> 12 & 0x3f)), put(0x80 | (code >> 6 & 0x3f)), put(0x80 | (code & 0x3f));
  }
}

// The number that the `digits` characters from `at` on are in that base.
std::optional<uint32_t> Number(absl::string_view text, size_t at, size_t digits, uint32_t base) {
  if (text.size() < at + digits || digits == 0) return std::nullopt;
  uint32_t number = 0;
  for (const char c : text.substr(at, digits)) {
    const uint32_t digit = absl::ascii_isdigit(static_cast<unsigned char>(c)) ? c - '0'
                           : absl::ascii_isxdigit(static_cast<unsigned char>(c))
                               ? absl::ascii_tolower(static_cast<unsigned char>(c)) - 'a' + 10
                               : 99;
    if (digit >= base) return std::nullopt;
    number = number * base + digit;
  }
  return number;
}

}  // namespace

Utf8Form Utf8FormOf(absl::string_view text) {
  if (IsAscii(text)) return Utf8Form::kStrict;
  Utf8Form form = Utf8Form::kStrict;
  while (!text.empty()) {
    if (ConsumeUtf8(&text).has_value()) continue;
    if (!IsSurrogate(text)) return Utf8Form::kNone;
    text.remove_prefix(3);
    form = Utf8Form::kWithSurrogates;
  }
  return form;
}

std::optional<std::string> UnquotePickleString(absl::string_view line) {
  while (!line.empty() && absl::ascii_isspace(static_cast<unsigned char>(line.back()))) line.remove_suffix(1);
  if (line.size() < 2 || line.front() != line.back() || (line[0] != '\'' && line[0] != '"')) return std::nullopt;
  line = line.substr(1, line.size() - 2);
  std::string text;
  text.reserve(line.size());
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      text.push_back(line[i]);
      continue;
    }
    if (++i == line.size()) return std::nullopt;
    const char c = line[i];
    static constexpr absl::string_view kLetters = "\\'\"abfnrtv", kMeanings = "\\'\"\a\b\f\n\r\t\v";
    if (const size_t letter = kLetters.find(c); letter != absl::string_view::npos) {
      text.push_back(kMeanings[letter]);
    } else if (c == 'x') {
      const std::optional<uint32_t> byte = Number(line, i + 1, 2, 16);
      if (!byte.has_value()) return std::nullopt;
      text.push_back(static_cast<char>(*byte));
      i += 2;
    } else if (c >= '0' && c <= '7') {
      size_t digits = 1;
      while (digits < 3 && i + digits < line.size() && line[i + digits] >= '0' && line[i + digits] <= '7') ++digits;
      text.push_back(static_cast<char>(*Number(line, i, digits, 8)));
      i += digits - 1;
    } else {
      text.push_back('\\');
      text.push_back(c);
    }
  }
  return text;
}

std::optional<std::string> UnescapePickleUnicode(absl::string_view line) {
  std::string text;
  text.reserve(line.size());
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\' || i + 1 == line.size()) {
      AppendCodePoint(static_cast<unsigned char>(line[i]), &text);
      continue;
    }
    const char c = line[++i];
    if (c != 'u' && c != 'U') {
      text.push_back('\\');
      AppendCodePoint(static_cast<unsigned char>(c), &text);
      continue;
    }
    const size_t digits = c == 'u' ? 4 : 8;
    const std::optional<uint32_t> code = Number(line, i + 1, digits, 16);
    if (!code.has_value() || *code > 0x10ffff) return std::nullopt;
    AppendCodePoint(*code, &text);
    i += digits;
  }
  return text;
}

std::optional<std::string> NormalDecimal(absl::string_view line) {
  if (!line.empty() && line.back() == 'L') line.remove_suffix(1);
  const bool negative = !line.empty() && line[0] == '-';
  if (!line.empty() && (line[0] == '-' || line[0] == '+')) line.remove_prefix(1);
  if (line.empty() || line.find_first_not_of("0123456789") != absl::string_view::npos) return std::nullopt;
  const size_t begin = line.find_first_not_of('0');
  if (begin == absl::string_view::npos) return "0";
  return (negative ? "-" : "") + std::string(line.substr(begin));
}

std::string Latin1ToUtf8(absl::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 2);
  for (const char byte : bytes) AppendCodePoint(static_cast<unsigned char>(byte), &text);
  return text;
}

std::optional<std::string> Utf8ToLatin1(absl::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  while (!text.empty()) {
    const std::optional<char32_t> code = ConsumeUtf8(&text);
    if (!code.has_value() || *code > 0xff) return std::nullopt;
    bytes.push_back(static_cast<char>(*code));
  }
  return bytes;
}

}  // namespace cairn
