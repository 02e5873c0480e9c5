#include "common/format/folder/json_events.h"

#include <exception>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace cairn {
namespace {

constexpr size_t kMaxShownBytes = 200;

constexpr size_t kMaxNumberBytes = 400;  // Longer than any double that JSON writers print.

// The lexer collects a whole string or number before anyone can object, so long ones are found before it
// runs.
absl::Status CheckTokenLengths(absl::string_view text, uint64_t max_string_bytes) {
  size_t number = 0;  // Digits so far of the number that we are in.
  for (size_t position = 0; position < text.size(); ++position) {
    const char c = text[position];
    number = c >= '0' && c <= '9' ? number + 1 : 0;
    if (number > kMaxNumberBytes) {
      return absl::InvalidArgumentError(absl::StrCat("number at byte ", position - kMaxNumberBytes,
                                                     " has more than ", kMaxNumberBytes, " digits"));
    }
    if (c != '"') continue;
    const size_t begin = ++position;
    while (position < text.size() && text[position] != '"') position += text[position] == '\\' ? 2 : 1;
    if (position - begin > max_string_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("string at byte ", begin, " is longer than the limit of ", max_string_bytes));
    }
  }
  return absl::OkStatus();
}

class SaxAdapter final : public nlohmann::json_sax<nlohmann::json> {
 public:
  SaxAdapter(const JsonLimits& limits, JsonHandler* handler) : limits_(limits), handler_(handler) {}

  absl::Status TakeStatus() { return std::move(status_); }

  bool null() override { return Keep(handler_->OnOther(depth_, "null")); }
  bool boolean(bool) override { return Keep(handler_->OnOther(depth_, "a Boolean")); }
  bool number_integer(number_integer_t) override {
    return Keep(handler_->OnOther(depth_, "a negative number"));
  }
  bool number_unsigned(number_unsigned_t value) override { return Keep(handler_->OnUnsigned(depth_, value)); }
  bool number_float(number_float_t, const string_t&) override {
    return Keep(handler_->OnOther(depth_, "a number that is not an integer of 64 bits"));
  }
  bool string(string_t& value) override { return Keep(handler_->OnString(depth_, std::move(value))); }
  bool binary(binary_t&) override { return Keep(absl::InternalError("binary value in JSON text")); }
  bool key(string_t& value) override { return Keep(handler_->OnKey(depth_, std::move(value))); }
  bool start_object(size_t) override { return Start(true); }
  bool start_array(size_t) override { return Start(false); }
  bool end_object() override { return End(); }
  bool end_array() override { return End(); }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    absl::string_view reason = error.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error ...": we have the byte.
    if (const size_t colon = reason.find(": "); colon != absl::string_view::npos)
      reason.remove_prefix(colon + 2);
    return Keep(absl::InvalidArgumentError(absl::StrCat(
        "not JSON at byte ", position, ": ", absl::Utf8SafeCHexEscape(reason.substr(0, kMaxShownBytes)))));
  }

 private:
  bool Keep(absl::Status status) {
    status_ = std::move(status);
    return status_.ok();
  }
  bool Start(bool is_object) {
    if (depth_ >= limits_.max_depth) {
      return Keep(absl::InvalidArgumentError(
          absl::StrCat("JSON nested deeper than the limit of ", limits_.max_depth)));
    }
    return Keep(handler_->OnStart(depth_++, is_object));
  }
  bool End() { return Keep(handler_->OnEnd(--depth_)); }

  const JsonLimits limits_;
  JsonHandler* const handler_;
  uint32_t depth_ = 0;
  absl::Status status_;
};

}  // namespace

absl::Status ParseJson(absl::string_view text, const JsonLimits& limits, JsonHandler* handler) {
  // The library takes a NUL for the end of the text, and skips a byte order mark.
  if (const size_t nul = text.find('\0'); nul != absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("not JSON at byte ", nul, ": NUL byte"));
  }
  if (!text.empty() && text.front() == '\xef') {
    return absl::InvalidArgumentError(
        "not JSON at byte 0: begins with a byte order mark or another stray byte");
  }
  CAIRN_RETURN_IF_ERROR(CheckTokenLengths(text, limits.max_string_bytes));
  SaxAdapter adapter(limits, handler);
  try {
    nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &adapter);
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("JSON parser: ", error.what()));
  }
  return adapter.TakeStatus();
}

std::string JsonQuote(absl::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        quoted += "\\\"";
        break;
      case '\\':
        quoted += "\\\\";
        break;
      case '\b':
        quoted += "\\b";
        break;
      case '\f':
        quoted += "\\f";
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\r':
        quoted += "\\r";
        break;
      case '\t':
        quoted += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          absl::StrAppendFormat(&quoted, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
          quoted += c;
        }
    }
  }
  quoted += '"';
  return quoted;
}

std::string NameForMessage(absl::string_view name) {
  const bool cut = name.size() > kMaxShownBytes;
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(name.substr(0, kMaxShownBytes)), cut ? "..." : "", "\"");
}

}  // namespace cairn
