#include "common/namemap/renames.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

constexpr size_t kMaxFileBytes = 1u << 20;
constexpr size_t kMaxStars = 1000;  // Each is tried on each name.

}  // namespace

absl::StatusOr<Renames> Renames::Parse(absl::string_view text, const std::string& file) {
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": expected renames of at most ", kMaxFileBytes, " bytes, found ", text.size()));
  }
  Renames renames;
  std::set<std::string> seen;
  const auto at = [&](const YAML::Node& node) { return absl::StrCat(file, ":", node.Mark().line + 1); };
  const auto add_all = [&](const YAML::Node& map) -> absl::Status {
    if (!map.IsMap()) return absl::InvalidArgumentError(absl::StrCat(at(map), ": expected lines of `old: new`"));
    for (const auto& pair : map) {
      if (!pair.first.IsScalar() || !pair.second.IsScalar()) {
        return absl::InvalidArgumentError(absl::StrCat(at(pair.first), ": expected two names, `old: new`"));
      }
      const std::string from = pair.first.Scalar(), to = pair.second.Scalar();
      if (!seen.insert(from).second) {
        return absl::InvalidArgumentError(absl::StrCat(at(pair.first), ": \"", from, "\" a second time"));
      }
      CAIRN_RETURN_IF_ERROR(Annotate(renames.Add(from, to), at(pair.first)));
    }
    return absl::OkStatus();
  };
  try {
    const YAML::Node root = YAML::Load(std::string(text));
    if (root.IsSequence()) {
      for (const YAML::Node& item : root) CAIRN_RETURN_IF_ERROR(add_all(item));
    } else {
      CAIRN_RETURN_IF_ERROR(add_all(root));
    }
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(file, ":", error.mark.line + 1, ": ", error.msg));
  }
  return renames;
}

absl::Status Renames::Add(const std::string& from, const std::string& to) {
  const size_t rule = olds_.size();
  olds_.push_back(from);
  const size_t star = from.find('*'), to_star = to.find('*');
  if (star == std::string::npos && to_star == std::string::npos) {
    CAIRN_ASSIGN_OR_RETURN(NamePattern old_pattern, NamePattern::Parse(from));
    CAIRN_ASSIGN_OR_RETURN(NamePattern new_pattern, NamePattern::Parse(to));
    std::vector<std::string> olds = old_pattern.placeholders(), news = new_pattern.placeholders();
    std::sort(olds.begin(), olds.end());
    std::sort(news.begin(), news.end());
    if (olds != news) {
      return absl::InvalidArgumentError(absl::StrCat("expected the same placeholders in \"", from, "\" and \"", to, "\""));
    }
    const std::string key = old_pattern.name_template();
    numbered_[key].push_back({rule, std::move(old_pattern), std::move(new_pattern)});
    return absl::OkStatus();
  }
  const auto one_star = [](const std::string& name) { return std::count(name.begin(), name.end(), '*') == 1; };
  if (!one_star(from) || !one_star(to) || absl::StrContains(from, '{') || absl::StrContains(to, '{')) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected one * in either name and no placeholders beside it, found \"", from, "\" and \"", to, "\""));
  }
  if (starred_.size() == kMaxStars) {
    return absl::InvalidArgumentError(absl::StrCat("expected at most ", kMaxStars, " names with a *"));
  }
  starred_.push_back({rule, from.substr(0, star), from.substr(star + 1), to.substr(0, to_star), to.substr(to_star + 1)});
  return absl::OkStatus();
}

std::optional<Renames::Renamed> Renames::Find(absl::string_view name) const {
  if (!numbered_.empty()) {
    const NameTemplate numbers = NameTemplate::Of(name);
    if (const auto found = numbered_.find(numbers.text); found != numbered_.end()) {
      for (const Numbered& rule : found->second) {
        const std::optional<std::map<std::string, int64_t>> values = rule.from.Match(numbers);
        if (values.has_value()) return Renamed{rule.rule, rule.to.Fill(*values)};
      }
    }
  }
  for (const Starred& rule : starred_) {
    if (name.size() < rule.from_front.size() + rule.from_back.size()) continue;
    if (!absl::StartsWith(name, rule.from_front) || !absl::EndsWith(name, rule.from_back)) continue;
    const absl::string_view kept =
        name.substr(rule.from_front.size(), name.size() - rule.from_front.size() - rule.from_back.size());
    return Renamed{rule.rule, absl::StrCat(rule.to_front, kept, rule.to_back)};
  }
  return std::nullopt;
}

}  // namespace cairn
