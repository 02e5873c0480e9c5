#include "server/app/logging.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "server/app/utf8.h"

namespace cairn {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// Lines come to spdlog ready made; it gives the level check, the lock and the write.
spdlog::logger& Logger() {
  static spdlog::logger& logger = *[] {
    auto* made = new spdlog::logger("cairn", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::info);
    // The default handler would print a line of its own, which is not JSON.
    made->set_error_handler([](const std::string&) {});
    return made;
  }();
  return logger;
}

std::atomic<LogFormat> g_format = LogFormat::kText;

absl::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

std::string Rfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

struct NumberText {
  std::string operator()(const std::string& value) const { return value; }
  std::string operator()(int64_t value) const { return absl::StrCat(value); }
  std::string operator()(uint64_t value) const { return absl::StrCat(value); }
  std::string operator()(double value) const {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
    char digits[32];  // The shortest form that reads back the same has at most 24.
    return std::string(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
  }
  std::string operator()(bool value) const { return value ? "true" : "false"; }
};

bool IsJsonLiteral(const LogField& field) {
  if (const double* number = std::get_if<double>(&field.value)) return std::isfinite(*number);
  return !std::holds_alternative<std::string>(field.value);
}

std::string FormatJson(absl::Time time, LogLevel level, absl::string_view message,
                       absl::Span<const LogField> fields) {
  std::string line = absl::StrCat("{\"time\":\"", Rfc3339(time), "\",\"level\":\"", LevelName(level),
                                  "\",\"msg\":", JsonQuoted(message));
  // Two equal keys are legal JSON that half of the readers refuse.
  std::vector<std::string> taken = {JsonQuoted("time"), JsonQuoted("level"), JsonQuoted("msg")};
  for (const LogField& field : fields) {
    std::string key = JsonQuoted(field.key);
    while (std::find(taken.begin(), taken.end(), key) != taken.end()) {
      key.insert(key.size() - 1, "_");
    }
    const std::string text = std::visit(NumberText{}, field.value);
    absl::StrAppend(&line, ",", key, ":", IsJsonLiteral(field) ? text : JsonQuoted(text));
    taken.push_back(std::move(key));
  }
  line += "}";
  return line;
}

// A value that could be read as two fields is quoted.
std::string TextValue(absl::string_view value) {
  const bool plain = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
  });
  return plain ? std::string(value) : JsonQuoted(value);
}

std::string FormatText(absl::Time time, LogLevel level, absl::string_view message,
                       absl::Span<const LogField> fields) {
  std::string name(LevelName(level));
  for (char& c : name) c = static_cast<char>(c - 'a' + 'A');
  std::string line = absl::StrFormat("%s %-7s %s", Rfc3339(time), name, OneLine(message));
  for (const LogField& field : fields) {
    absl::StrAppend(&line, " ", OneLine(field.key), "=", TextValue(std::visit(NumberText{}, field.value)));
  }
  return line;
}

}  // namespace

void StartLogging(LogLevel least, LogFormat format) {
  g_format = format;
  Logger().set_level(ToSpdlog(least));
}

bool LogEnabled(LogLevel level) { return Logger().should_log(ToSpdlog(level)); }

void Log(LogLevel level, absl::string_view message, absl::Span<const LogField> fields) {
  if (!LogEnabled(level)) return;
  const std::string line = FormatLogLine(g_format, absl::Now(), level, message, fields);
  Logger().log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

std::string FormatLogLine(LogFormat format, absl::Time time, LogLevel level, absl::string_view message,
                          absl::Span<const LogField> fields) {
  return format == LogFormat::kJson ? FormatJson(time, level, message, fields)
                                    : FormatText(time, level, message, fields);
}

}  // namespace cairn
