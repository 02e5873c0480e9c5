#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace cairn {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

// One fact beside a message. Keys are `snake_case`, the same word for the same thing everywhere ("ref", "session_id",
// "bytes").
struct LogField {
  absl::string_view key;
  std::variant<std::string, int64_t, uint64_t, double, bool> value;
};

// Sets what Log() prints, and how, for the whole process. May be called again. Not to be called while other threads
// log.
void StartLogging(LogLevel least, LogFormat format);

// Writes one line to standard error if `level` is at least the level of StartLogging() (before that: kInfo, as text).
// Thread-safe; lines of several threads do not mix. Never fails: a line that cannot be written is lost.
void Log(LogLevel level, absl::string_view message, absl::Span<const LogField> fields = {});

// Whether Log(level, ...) would print: for fields that are dear to collect.
bool LogEnabled(LogLevel level);

// The line, without its end of line. Whatever bytes come in, one line of valid UTF-8 without control characters comes
// out.
//   kText  2026-08-01T12:00:00.123Z INFO    checkpoint committed ref=team/run@100 bytes=4096
//   kJson  {"time":"2026-08-01T12:00:00.123Z","level":"info","msg":"checkpoint committed","ref":"team/run@100"}
// In JSON, a number that is no number (infinity, NaN) is a string, and a field named like one of ours ("msg") gets a
// "_" behind its name, as does a key that came before.
std::string FormatLogLine(LogFormat format, absl::Time time, LogLevel level, absl::string_view message,
                          absl::Span<const LogField> fields);

}  // namespace cairn
