#include "server/app/option_values.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace cairn {
namespace {

bool AllDigits(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

// Largest first: the first that fits is the one to show.
constexpr std::pair<absl::string_view, int> kByteUnits[] = {{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"", 0}};

template <typename T>
struct Named {
  absl::string_view name;
  T value;
};
constexpr std::array<Named<LogLevel>, 4> kLogLevels = {{{"debug", LogLevel::kDebug},
                                                        {"info", LogLevel::kInfo},
                                                        {"warning", LogLevel::kWarning},
                                                        {"error", LogLevel::kError}}};
constexpr std::array<Named<LogFormat>, 2> kLogFormats = {
    {{"text", LogFormat::kText}, {"json", LogFormat::kJson}}};

template <typename List>
auto FindValue(const List& list, absl::string_view name) {
  using T = decltype(list[0].value);
  for (const auto& item : list) {
    if (item.name == name) return std::optional<std::remove_const_t<T>>(item.value);
  }
  return std::optional<std::remove_const_t<T>>();
}

template <typename List, typename T>
std::string FindName(const List& list, T value) {
  for (const auto& item : list) {
    if (item.value == value) return std::string(item.name);
  }
  return "";
}

template <typename List>
std::string Names(const List& list) {
  return absl::StrJoin(list, ", ",
                       [](std::string* out, const auto& item) { absl::StrAppend(out, item.name); });
}

}  // namespace

std::optional<bool> ParseBool(absl::string_view text) {
  for (absl::string_view word : {"true", "yes", "on", "1"}) {
    if (absl::EqualsIgnoreCase(text, word)) return true;
  }
  for (absl::string_view word : {"false", "no", "off", "0"}) {
    if (absl::EqualsIgnoreCase(text, word)) return false;
  }
  return std::nullopt;
}

std::optional<int64_t> ParseWholeNumber(absl::string_view text) {
  int64_t value = 0;
  if (!AllDigits(text) || !absl::SimpleAtoi(text, &value)) return std::nullopt;
  return value;
}

std::optional<uint64_t> ParseBytes(absl::string_view text) {
  for (const auto& [unit, shift] : kByteUnits) {
    absl::string_view digits = text;
    if (!absl::ConsumeSuffix(&digits, unit)) continue;
    uint64_t number = 0;
    if (!AllDigits(digits) || !absl::SimpleAtoi(digits, &number)) return std::nullopt;
    if (number > std::numeric_limits<uint64_t>::max() >> shift) return std::nullopt;
    return number << shift;
  }
  return std::nullopt;
}

std::string FormatBytes(uint64_t bytes) {
  for (const auto& [unit, shift] : kByteUnits) {
    const uint64_t number = bytes >> shift;
    if (number > 0 && number << shift == bytes) return absl::StrCat(number, unit);
  }
  return "0";
}

std::optional<absl::Duration> ParseNonNegativeDuration(absl::string_view text) {
  absl::Duration duration;
  if (text.empty() || (!absl::ascii_isdigit(text[0]) && text[0] != '.'))
    return std::nullopt;  // No sign, no "inf".
  if (!absl::ParseDuration(text, &duration) || duration == absl::InfiniteDuration()) return std::nullopt;
  if (duration % absl::Milliseconds(1) != absl::ZeroDuration()) return std::nullopt;
  return duration;
}

std::optional<uint32_t> ParseMode(absl::string_view text) {
  uint32_t mode = 0;
  if (text.empty() || text.size() > 5) return std::nullopt;
  for (char c : text) {
    if (c < '0' || c > '7') return std::nullopt;
    mode = mode * 8 + static_cast<uint32_t>(c - '0');
  }
  return mode;
}

std::string FormatMode(uint32_t mode) { return absl::StrFormat("%04o", mode); }

std::optional<LogLevel> ParseLogLevel(absl::string_view text) { return FindValue(kLogLevels, text); }
std::string FormatLogLevel(LogLevel level) { return FindName(kLogLevels, level); }
std::string LogLevelChoices() { return Names(kLogLevels); }

std::optional<LogFormat> ParseLogFormat(absl::string_view text) { return FindValue(kLogFormats, text); }
std::string FormatLogFormat(LogFormat format) { return FindName(kLogFormats, format); }
std::string LogFormatChoices() { return Names(kLogFormats); }

bool IsAddress(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return false;
  absl::string_view host = text.substr(0, colon);
  const absl::string_view port = text.substr(colon + 1);
  int number = 0;
  if (port.size() > 5 || !AllDigits(port) || !absl::SimpleAtoi(port, &number) || number > 65535) return false;
  const bool bracketed = absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
  if (bracketed) host = host.substr(1, host.size() - 2);
  return !host.empty() && std::all_of(host.begin(), host.end(), [&](char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_' || (bracketed && c == ':');
  });
}

}  // namespace cairn
