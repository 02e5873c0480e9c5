#include "common/tensor/key_path.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/tensor/path_text.h"

namespace cairn {
namespace {

std::string ShowSegment(const std::string& segment) {
  if (segment.empty()) return "\\e";
  std::string shown;
  shown.reserve(segment.size());
  for (size_t i = 0; i < segment.size(); ++i) {
    const char c = segment[i];
    if (c == '\\' || c == '/' || (c == '[' && i == 0)) {
      shown.push_back('\\');
      shown.push_back(c);
    } else if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      absl::StrAppend(&shown, "\\x", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      shown.push_back(c);
    }
  }
  return shown;
}

absl::StatusOr<KeyPath::Segment> ParseSegment(absl::string_view text) {
  using path_text::ParsePosition;
  if (text.empty()) return absl::InvalidArgumentError("empty segment; the empty key is written \\e");
  if (text == "\\e") return KeyPath::Segment(std::string());
  if (text[0] == '[') {
    const std::optional<int64_t> position = ParsePosition(text);
    if (position.has_value()) return KeyPath::Segment(*position);
    return absl::InvalidArgumentError(absl::StrCat(
        "segment \"", text, "\": expected a position such as [7]; a key that begins with [ is written \\["));
  }
  std::string key;
  key.reserve(text.size());
  while (!text.empty()) {
    if (text[0] != '\\') {
      key.push_back(text[0]);
      text.remove_prefix(1);
      continue;
    }
    CAIRN_ASSIGN_OR_RETURN(const char c, path_text::ConsumeEscape(&text));
    key.push_back(c);
  }
  return KeyPath::Segment(std::move(key));
}

}  // namespace

namespace path_text {

std::vector<absl::string_view> SplitSegments(absl::string_view text) {
  std::vector<absl::string_view> segments;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '/') {
      segments.push_back(text.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  segments.push_back(text.substr(begin));
  return segments;
}

absl::StatusOr<char> ConsumeEscape(absl::string_view* text) {
  const char kind = text->size() > 1 ? (*text)[1] : '\0';
  if (kind == '\\' || kind == '/' || kind == '[') {
    text->remove_prefix(2);
    return kind;
  }
  if (kind == 'x' && text->size() >= 4 && absl::ascii_isxdigit(static_cast<unsigned char>((*text)[2])) &&
      absl::ascii_isxdigit(static_cast<unsigned char>((*text)[3]))) {
    const std::string byte = absl::HexStringToBytes(text->substr(2, 2));
    text->remove_prefix(4);
    return byte[0];
  }
  return absl::InvalidArgumentError(
      absl::StrCat("bad escape at \"", text->substr(0, 4),
                   "\": expected \\\\, \\/, \\[, \\xHH, or \\e as a whole segment"));
}

std::optional<int64_t> ParsePosition(absl::string_view text) {
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') return std::nullopt;
  const absl::string_view digits = text.substr(1, text.size() - 2);
  int64_t position;
  // One spelling for each number: no "+7", no "007", no blanks.
  if (!absl::SimpleAtoi(digits, &position) || absl::StrCat(position) != digits) return std::nullopt;
  return position;
}

}  // namespace path_text

KeyPath KeyPath::Of(const std::vector<std::string>& segments) {
  return KeyPath(std::vector<Segment>(segments.begin(), segments.end()));
}

const std::vector<KeyPath::Segment>& KeyPath::NoSegments() {
  static const auto* const none = new std::vector<Segment>();
  return *none;
}

void KeyPath::Append(Segment segment) {
  std::vector<Segment> more;
  more.reserve(segments().size() + 1);
  more = segments();
  more.push_back(std::move(segment));
  segments_ = std::make_shared<const std::vector<Segment>>(std::move(more));
}

std::string KeyPath::ToString() const {
  std::string text;
  for (const Segment& segment : segments()) {
    if (&segment != &segments().front()) text.push_back('/');
    if (const int64_t* position = std::get_if<int64_t>(&segment)) {
      absl::StrAppend(&text, "[", *position, "]");
    } else {
      text += ShowSegment(std::get<std::string>(segment));
    }
  }
  return text;
}

std::string KeyPath::Joined(absl::string_view separator) const {
  return absl::StrJoin(segments(), separator, [](std::string* out, const Segment& segment) {
    std::visit([out](const auto& part) { absl::StrAppend(out, part); }, segment);
  });
}

absl::StatusOr<KeyPath> KeyPath::Parse(absl::string_view text) {
  std::vector<Segment> segments;
  if (text.empty()) return KeyPath();
  for (absl::string_view segment : path_text::SplitSegments(text)) {
    absl::StatusOr<Segment> parsed = ParseSegment(segment);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("key path \"", text, "\": ", parsed.status().message()));
    }
    segments.push_back(*std::move(parsed));
  }
  return KeyPath(std::move(segments));
}

bool KeyPath::StartsWith(const KeyPath& prefix) const {
  return prefix.segments().size() <= segments().size() &&
         std::equal(prefix.segments().begin(), prefix.segments().end(), segments().begin());
}

}  // namespace cairn
