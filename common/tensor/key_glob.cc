#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/tensor/key_path.h"
#include "common/tensor/path_text.h"

namespace cairn {
namespace {

// Takes one character off the front. A byte that is no UTF-8 counts as a character of its own, beyond all
// others.
char32_t ConsumeCharacter(absl::string_view* text) {
  if (const std::optional<char32_t> character = ConsumeUtf8(text)) return *character;
  const unsigned char byte = static_cast<unsigned char>(text->front());
  text->remove_prefix(1);
  return 0x110000 + byte;
}

std::vector<char32_t> Characters(absl::string_view text) {
  std::vector<char32_t> characters;
  while (!text.empty()) characters.push_back(ConsumeCharacter(&text));
  return characters;
}

// Takes one character off the front of a pattern, escapes resolved.
absl::StatusOr<char32_t> ConsumeLiteral(absl::string_view* text) {
  if (text->front() != '\\') return ConsumeCharacter(text);
  if (text->size() > 1 &&
      ((*text)[1] == '*' || (*text)[1] == '?' || (*text)[1] == ']' || (*text)[1] == '-')) {
    const char character = (*text)[1];
    text->remove_prefix(2);
    return character;
  }
  CAIRN_ASSIGN_OR_RETURN(const char byte, path_text::ConsumeEscape(text));
  const absl::string_view as_text(&byte, 1);
  return Characters(as_text).front();
}

// Matches a sequence against a pattern in which some elements stand for any run. Only the last such element
// ever has to be tried anew, so the work is at most the product of both lengths.
template <typename Pattern, typename IsRun, typename Item, typename Takes>
bool MatchRuns(const std::vector<Pattern>& pattern, const IsRun& is_run, const std::vector<Item>& items,
               const Takes& takes) {
  size_t p = 0, i = 0;
  size_t run = pattern.size(), run_end = 0;  // The last run seen, and the item up to which it reaches.
  while (i < items.size()) {
    if (p < pattern.size() && is_run(pattern[p])) {
      run = p++;
      run_end = i;
    } else if (p < pattern.size() && takes(pattern[p], items[i])) {
      ++p;
      ++i;
    } else if (run < pattern.size()) {
      p = run + 1;
      i = ++run_end;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && is_run(pattern[p])) ++p;
  return p == pattern.size();
}

}  // namespace

bool KeyGlob::Step::Takes(char32_t character) const {
  if (kind == Kind::kAnyCharacter) return true;
  const bool inside = std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) {
    return range.first <= character && character <= range.second;
  });
  return inside != negated;
}

bool KeyGlob::GlobSegment::Matches(const KeyPath::Segment& segment) const {
  const int64_t* number = std::get_if<int64_t>(&segment);
  if (number != nullptr && position == *number) return true;
  const std::string shown_position = number != nullptr ? absl::StrCat("[", *number, "]") : "";
  const absl::string_view text = number != nullptr ? shown_position : std::get<std::string>(segment);
  return MatchRuns(
      steps, [](const Step& step) { return step.kind == Step::Kind::kAnyRun; }, Characters(text),
      [](const Step& step, char32_t character) { return step.Takes(character); });
}

absl::StatusOr<KeyGlob::GlobSegment> KeyGlob::ParseSegment(absl::string_view text) {
  GlobSegment segment;
  if (text.empty()) return absl::InvalidArgumentError("empty segment; \"**\" stands for everything below");
  if (text == "\\e") return segment;  // No steps: the empty key.
  if (text == "**") {
    segment.any_depth = true;
    return segment;
  }
  segment.position = path_text::ParsePosition(text);
  while (!text.empty()) {
    if (text.front() == '*' || text.front() == '?') {
      segment.steps.emplace_back().kind =
          text.front() == '*' ? Step::Kind::kAnyRun : Step::Kind::kAnyCharacter;
      text.remove_prefix(1);
      continue;
    }
    if (text.front() != '[') {
      CAIRN_ASSIGN_OR_RETURN(const char32_t character, ConsumeLiteral(&text));
      segment.steps.emplace_back().ranges = {{character, character}};
      continue;
    }
    Step set;
    const absl::string_view whole = text;
    text.remove_prefix(1);
    if (!text.empty() && text.front() == '!') {
      set.negated = true;
      text.remove_prefix(1);
    }
    while (!text.empty() && text.front() != ']') {
      CAIRN_ASSIGN_OR_RETURN(const char32_t from, ConsumeLiteral(&text));
      char32_t to = from;
      if (text.size() > 1 && text[0] == '-' && text[1] != ']') {
        text.remove_prefix(1);
        CAIRN_ASSIGN_OR_RETURN(to, ConsumeLiteral(&text));
      }
      if (to < from)
        return absl::InvalidArgumentError(absl::StrCat("set \"", whole, "\": a range that runs backwards"));
      set.ranges.emplace_back(from, to);
    }
    if (text.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("unclosed set \"", whole, "\"; a plain [ is written \\["));
    }
    if (set.ranges.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("empty set in \"", whole, "\"; a plain [ is written \\["));
    }
    text.remove_prefix(1);
    segment.steps.push_back(std::move(set));
  }
  return segment;
}

absl::StatusOr<KeyGlob> KeyGlob::Parse(absl::string_view glob) {
  KeyGlob parsed;
  for (absl::string_view segment : path_text::SplitSegments(glob)) {
    absl::StatusOr<GlobSegment> part = ParseSegment(segment);
    if (!part.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("glob \"", glob, "\": ", part.status().message()));
    }
    parsed.segments_.push_back(*std::move(part));
  }
  return parsed;
}

bool KeyGlob::Matches(const KeyPath& path) const {
  return MatchRuns(
      segments_, [](const GlobSegment& segment) { return segment.any_depth; }, path.segments(),
      [](const GlobSegment& pattern, const KeyPath::Segment& segment) { return pattern.Matches(segment); });
}

}  // namespace cairn
