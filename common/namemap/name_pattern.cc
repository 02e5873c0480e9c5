#include "common/namemap/name_pattern.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr size_t kMaxDigits = 9;

bool IsSeparator(char c) { return c == '.' || c == '/'; }

bool IsNumber(absl::string_view piece) {
  if (piece.empty() || piece.size() > kMaxDigits || (piece.size() > 1 && piece.front() == '0')) return false;
  for (const char c : piece) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

// Calls `visit` with each piece between separators, and with the separators.
template <typename Visit>
void ForEachPiece(absl::string_view name, Visit visit) {
  size_t begin = 0;
  for (size_t i = 0; i <= name.size(); ++i) {
    if (i < name.size() && !IsSeparator(name[i])) continue;
    visit(name.substr(begin, i - begin), i < name.size() ? name.substr(i, 1) : absl::string_view());
    begin = i + 1;
  }
}

}  // namespace

NameTemplate NameTemplate::Of(absl::string_view name) {
  NameTemplate result;
  ForEachPiece(name, [&](absl::string_view piece, absl::string_view separator) {
    int64_t number = 0;
    if (IsNumber(piece) && absl::SimpleAtoi(piece, &number)) {
      result.numbers.push_back(number);
      piece = "{}";
    }
    absl::StrAppend(&result.text, piece, separator);
  });
  return result;
}

absl::StatusOr<NamePattern> NamePattern::Parse(absl::string_view text) {
  NamePattern pattern;
  pattern.text_ = std::string(text);
  absl::Status status;
  pattern.literals_.emplace_back();
  ForEachPiece(text, [&](absl::string_view piece, absl::string_view separator) {
    absl::string_view in_template = piece;
    if (piece.size() > 2 && piece.front() == '{' && piece.back() == '}') {
      pattern.placeholders_.emplace_back(piece.substr(1, piece.size() - 2));
      pattern.numbers_.push_back(pattern.placeholders_.back());
      pattern.literals_.emplace_back();
      in_template = "{}";
    } else {
      if (piece.find_first_of("{}") != absl::string_view::npos) {
        status = absl::InvalidArgumentError(
            absl::StrCat("name \"", text, "\": a placeholder like {i} stands for a whole piece between dots"));
      }
      if (IsNumber(piece)) {
        pattern.numbers_.emplace_back(piece);
        in_template = "{}";
      }
      absl::StrAppend(&pattern.literals_.back(), piece);
    }
    absl::StrAppend(&pattern.literals_.back(), separator);
    absl::StrAppend(&pattern.template_, in_template, separator);
  });
  if (text.empty()) status = absl::InvalidArgumentError("expected a name, found nothing");
  CAIRN_RETURN_IF_ERROR(status);
  return pattern;
}

std::optional<std::map<std::string, int64_t>> NamePattern::Match(const NameTemplate& name) const {
  std::map<std::string, int64_t> values;
  for (size_t i = 0; i < numbers_.size(); ++i) {
    int64_t fixed = 0;
    if (absl::SimpleAtoi(numbers_[i], &fixed)) {
      if (fixed != name.numbers[i]) return std::nullopt;
    } else if (!values.emplace(numbers_[i], name.numbers[i]).second && values[numbers_[i]] != name.numbers[i]) {
      return std::nullopt;
    }
  }
  return values;
}

std::string NamePattern::Fill(const std::map<std::string, int64_t>& numbers) const {
  std::string name = literals_[0];
  for (size_t i = 0; i < placeholders_.size(); ++i) {
    absl::StrAppend(&name, numbers.at(placeholders_[i]), literals_[i + 1]);
  }
  return name;
}

bool MatchesStars(absl::string_view text, absl::string_view glob) {
  const std::vector<absl::string_view> parts = absl::StrSplit(glob, '*');
  if (parts.size() == 1) return text == glob;
  if (text.substr(0, parts.front().size()) != parts.front()) return false;
  text.remove_prefix(parts.front().size());
  for (size_t i = 1; i + 1 < parts.size(); ++i) {
    const size_t at = text.find(parts[i]);
    if (at == absl::string_view::npos) return false;
    text.remove_prefix(at + parts[i].size());
  }
  return text.size() >= parts.back().size() && text.substr(text.size() - parts.back().size()) == parts.back();
}

std::optional<std::string> NameOfPath(const KeyPath& path, bool nested) {
  std::string name;
  if (!nested && path.segments().size() != 1) return std::nullopt;
  for (const KeyPath::Segment& segment : path.segments()) {
    if (nested && !name.empty()) name += '/';
    if (const auto* position = std::get_if<int64_t>(&segment)) {
      absl::StrAppend(&name, *position);
      continue;
    }
    const std::string& text = std::get<std::string>(segment);
    if (nested && (text.empty() || text.find('/') != std::string::npos)) return std::nullopt;
    name += text;
  }
  return name;
}

KeyPath PathOfName(const std::string& name, bool nested) {
  if (!nested) return KeyPath::Of({name});
  return KeyPath::Of(absl::StrSplit(name, '/'));
}

}  // namespace cairn
