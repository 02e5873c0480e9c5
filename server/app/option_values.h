#pragma once

// Text to value and back, for the types of option that have units or names. Format and Parse are inverse.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/app/logging.h"

namespace cairn {

// true, yes, on, 1; false, no, off, 0.
std::optional<bool> ParseBool(absl::string_view text);

// Decimal digits, nothing else.
std::optional<int64_t> ParseWholeNumber(absl::string_view text);

// Digits and KiB, MiB, GiB or nothing: "64KiB", "1048576".
std::optional<uint64_t> ParseBytes(absl::string_view text);
std::string FormatBytes(uint64_t bytes);

// Numbers with units ms, s, m, h: "1h30m", "0.5s", and "0". Not negative, whole milliseconds.
// absl::FormatDuration() is the way back.
std::optional<absl::Duration> ParseNonNegativeDuration(absl::string_view text);

// Octal digits: "0660".
std::optional<uint32_t> ParseMode(absl::string_view text);
std::string FormatMode(uint32_t mode);

std::optional<LogLevel> ParseLogLevel(absl::string_view text);
std::string FormatLogLevel(LogLevel level);
std::string LogLevelChoices();

std::optional<LogFormat> ParseLogFormat(absl::string_view text);
std::string FormatLogFormat(LogFormat format);
std::string LogFormatChoices();

// Whether `text` is HOST:PORT or [IPV6]:PORT with a port of 0 to 65535.
bool IsAddress(absl::string_view text);

}  // namespace cairn
