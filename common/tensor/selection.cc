#include "common/tensor/selection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/tensor/path_text.h"

namespace cairn {
namespace {

bool HasSet(absl::string_view segment) {
  if (path_text::ParsePosition(segment).has_value()) return false;
  for (size_t i = 0; i < segment.size(); ++i) {
    if (segment[i] == '\\') {
      ++i;
    } else if (segment[i] == '[') {
      return true;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<Selection> Selection::Parse(absl::Span<const std::string> patterns) {
  Selection selection;
  for (const std::string& pattern : patterns) {
    absl::string_view text = pattern;
    Rule rule;
    rule.text = pattern;
    rule.exclude = absl::ConsumePrefix(&text, "!");
    if (text.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("pattern \"", pattern, "\" is empty; leave it out, or write \"**\" for all entries"));
    }
    const std::vector<absl::string_view> segments = path_text::SplitSegments(text);
    rule.is_glob = absl::StrContains(text, '*') || absl::StrContains(text, '?') ||
                   std::any_of(segments.begin(), segments.end(), HasSet);
    if (rule.is_glob) {
      CAIRN_ASSIGN_OR_RETURN(rule.glob, KeyGlob::Parse(text));
    } else {
      rule.below_only = segments.size() > 1 && segments.back().empty();
      if (rule.below_only) text.remove_suffix(1);
      CAIRN_ASSIGN_OR_RETURN(rule.prefix, KeyPath::Parse(text));
    }
    selection.rules_.push_back(std::move(rule));
  }
  return selection;
}

bool Selection::Rule::Matches(const KeyPath& path) const {
  if (is_glob) return glob.Matches(path);
  return path.StartsWith(prefix) && !(below_only && path.segments().size() == prefix.segments().size());
}

bool Selection::Matches(const KeyPath& path) const {
  bool chosen = rules_.empty() || rules_.front().exclude;
  for (const Rule& rule : rules_) {
    // A rule can only turn the answer to the side it stands for.
    if (chosen == rule.exclude && rule.Matches(path)) chosen = !rule.exclude;
  }
  return chosen;
}

std::vector<std::string> Selection::Unmatched(absl::Span<const KeyPath* const> paths) const {
  std::vector<std::string> unmatched;
  for (const Rule& rule : rules_) {
    if (rule.exclude) continue;
    const bool matched =
        std::any_of(paths.begin(), paths.end(), [&](const KeyPath* path) { return rule.Matches(*path); });
    if (!matched) unmatched.push_back(rule.text);
  }
  return unmatched;
}

}  // namespace cairn
