#include "client/cli/text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/base/utf8.h"

namespace cairn::cli {
namespace {

// Takes the next code point off the text, or one byte that is no UTF-8 (nothing).
std::optional<char32_t> Next(absl::string_view* text) {
  const std::optional<char32_t> c = ConsumeUtf8(text);
  if (!c.has_value()) text->remove_prefix(1);
  return c;
}

constexpr absl::string_view kDots = "...";
constexpr int kDotsWidth = 3;

bool IsControl(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) ||
         // Marks that change the direction of what follows could make one name look like another.
         (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x2028 || c == 0x2029;
}

int Columns(std::optional<char32_t> code) {
  if (!code.has_value()) return 1;
  const char32_t c = *code;
  if ((c >= 0x300 && c < 0x370) || (c >= 0x200b && c <= 0x200f) || (c >= 0xfe00 && c <= 0xfe0f)) return 0;
  const bool wide = (c >= 0x1100 && c < 0x1160) || (c >= 0x2e80 && c < 0xa4d0) ||
                    (c >= 0xac00 && c < 0xd7a4) || (c >= 0xf900 && c < 0xfb00) ||
                    (c >= 0xfe30 && c < 0xfe70) || (c >= 0xff00 && c < 0xff61) ||
                    (c >= 0xffe0 && c < 0xffe7) || (c >= 0x1f300 && c < 0x1f650) ||
                    (c >= 0x1f900 && c < 0x1fa00) || (c >= 0x20000 && c < 0x3fffe);
  return wide ? 2 : 1;
}

}  // namespace

std::string SafeText(absl::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const absl::string_view before = text;
    const std::optional<char32_t> c = Next(&text);
    const absl::string_view bytes = before.substr(0, before.size() - text.size());
    if (!c.has_value() || IsControl(*c)) {
      for (const char byte : bytes) absl::StrAppendFormat(&safe, "\\x%02x", static_cast<uint8_t>(byte));
    } else {
      safe.append(bytes.data(), bytes.size());
    }
  }
  return safe;
}

int DisplayWidth(absl::string_view text) {
  int width = 0;
  while (!text.empty()) width += Columns(Next(&text));
  return width;
}

std::string FitLeft(absl::string_view text, int width) {
  int excess = DisplayWidth(text) - width;
  if (excess <= 0) return std::string(text);
  if (width <= kDotsWidth) return std::string(kDots.substr(0, static_cast<size_t>(std::max(width, 0))));
  excess += kDotsWidth;
  while (excess > 0 && !text.empty()) excess -= Columns(Next(&text));
  return absl::StrCat(kDots, text);
}

std::string FitRight(absl::string_view text, int width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width <= kDotsWidth) return std::string(kDots.substr(0, static_cast<size_t>(std::max(width, 0))));
  int room = width - kDotsWidth;
  absl::string_view rest = text;
  size_t kept = 0;
  while (!rest.empty() && (room -= Columns(Next(&rest))) >= 0) kept = text.size() - rest.size();
  return absl::StrCat(text.substr(0, kept), kDots);
}

std::string FormatBytes(uint64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  constexpr std::array<const char*, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

std::string FormatCount(uint64_t count) {
  std::string digits = absl::StrCat(count);
  for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string FormatElapsed(absl::Duration duration) {
  const int64_t seconds = std::max<int64_t>(absl::ToInt64Seconds(duration), 0);
  if (seconds < 3600) return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
  return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

std::string FormatAge(absl::Duration age) {
  const int64_t seconds = absl::ToInt64Seconds(age);
  if (seconds < 1) return "now";
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) return absl::StrCat(seconds / 60, "m");
  if (seconds < 48 * 3600) return absl::StrCat(seconds / 3600, "h");
  return absl::StrCat(seconds / (24 * 3600), "d");
}

std::string FormatUtc(absl::Time time) {
  if (time == absl::InfinitePast()) return "";
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%SZ", absl::FromUnixSeconds(absl::ToUnixSeconds(time)),
                          absl::UTCTimeZone());
}

absl::StatusOr<uint64_t> ParseByteSize(absl::string_view text) {
  const auto error = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("size \"", SafeText(text), "\": ", why,
                     "; expected a number of bytes such as 1048576, 500MB, 5GB or 2GiB"));
  };
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  size_t digits = 0;
  while (digits < rest.size() &&
         (absl::ascii_isdigit(static_cast<unsigned char>(rest[digits])) || rest[digits] == '.'))
    ++digits;
  const absl::string_view number = rest.substr(0, digits);
  const std::string unit = absl::AsciiStrToLower(absl::StripAsciiWhitespace(rest.substr(digits)));
  double value = 0;
  if (!absl::SimpleAtod(number, &value)) return error("no number");

  uint64_t scale = 1;
  absl::string_view suffix = unit;
  if (!suffix.empty() && suffix != "b") {
    const size_t power = absl::string_view("kmgt").find(suffix[0]);
    if (power == absl::string_view::npos) return error("unknown unit");
    const absl::string_view tail = suffix.substr(1);
    if (tail != "" && tail != "b" && tail != "ib") return error("unknown unit");
    for (size_t i = 0; i <= power; ++i) scale *= tail == "ib" ? 1024 : 1000;
  }
  uint64_t whole = 0;
  if (absl::SimpleAtoi(number, &whole) && !__builtin_mul_overflow(whole, scale, &whole)) {
    if (whole == 0) return error("zero");
    return whole;
  }
  value *= static_cast<double>(scale);
  if (!(value >= 1)) return error("less than a byte");
  if (value >= 0x1p63) return error("too large");
  return static_cast<uint64_t>(std::llround(value));
}

}  // namespace cairn::cli
