#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace cairn::cli {

// Text from a file or a server, made safe to print: control characters (escape sequences among them) and
// bytes that are no UTF-8 become \xHH.
std::string SafeText(absl::string_view text);

// Columns that safe text takes on a terminal: two for East Asian wide characters and emoji, none for
// combining ones.
int DisplayWidth(absl::string_view text);
// Shortened to `width` columns with "..." at its front, where long paths differ least. Unchanged if it fits.
std::string FitLeft(absl::string_view text, int width);
// The same with "..." at its end.
std::string FitRight(absl::string_view text, int width);

// "0 B", "1.5 KiB", "13.5 GiB".
std::string FormatBytes(uint64_t bytes);
// "1,234,567".
std::string FormatCount(uint64_t count);
// "0:07", "12:30", "3:04:05".
std::string FormatElapsed(absl::Duration duration);
// "12s", "5m", "3h", "9d": whole units, the largest that fits. "now" for the future.
std::string FormatAge(absl::Duration age);
// RFC 3339 in UTC; empty for the infinite past, which stands for "unknown".
std::string FormatUtc(absl::Time time);

// "1024", "500KB", "5GB" (powers of 1000), "512MiB" (powers of 1024), "1.5GiB"; a lone K, M, G, T is KB, MB,
// ... INVALID_ARGUMENT otherwise, zero included.
absl::StatusOr<uint64_t> ParseByteSize(absl::string_view text);

}  // namespace cairn::cli
