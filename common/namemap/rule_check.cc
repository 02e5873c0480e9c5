#include "common/namemap/rule_check.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

AxisProduct SortedAxes(const std::vector<AxisProduct>& dims) {
  AxisProduct axes;
  for (const AxisProduct& dim : dims) axes.insert(axes.end(), dim.begin(), dim.end());
  std::sort(axes.begin(), axes.end());
  return axes;
}

std::string Show(const AxisProduct& axes) {
  return absl::StrJoin(axes, " ", [](std::string* out, const AxisTerm& term) {
    absl::StrAppend(out, term.symbol.empty() ? std::to_string(term.number) : term.symbol);
  });
}

absl::Status CheckStack(const NameMap::Rule& rule) {
  for (const std::vector<NameMap::Tensor>& side : rule.sides) {
    if (side.size() != 1) return absl::InvalidArgumentError("a rule with a stacked axis has one tensor on either side");
  }
  const size_t stacked = rule.sides[0][0].axes.stacked() ? 0 : 1;
  const NameMap::Tensor& whole = rule.sides[stacked][0];
  const NameMap::Tensor& single = rule.sides[1 - stacked][0];
  const std::string& placeholder = whole.axes.stack_placeholder;
  const auto has = [&](const NameMap::Tensor& tensor) {
    const std::vector<std::string>& names = tensor.name.placeholders();
    return std::find(names.begin(), names.end(), placeholder) != names.end();
  };
  if (single.axes.stacked() || single.axes.cut.has_value() || has(whole) || !has(single)) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected {", placeholder, "} as an axis on one side and in the name on the other"));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<RulePart> PartsOf(const std::vector<NameMap::Tensor>& side) {
  std::vector<RulePart> parts;
  for (size_t tensor = 0; tensor < side.size(); ++tensor) {
    for (size_t part = 0; part < side[tensor].axes.part_count(); ++part) parts.push_back({tensor, part});
  }
  return parts;
}

bool IsRename(const NameMap::Rule& rule) {
  return rule.sides[0].size() == 1 && rule.sides[1].size() == 1 && !rule.sides[0][0].axes.cut.has_value() &&
         rule.sides[0][0].axes.text == rule.sides[1][0].axes.text;
}

bool IsStack(const NameMap::Rule& rule) { return rule.sides[0][0].axes.stacked() || rule.sides[1][0].axes.stacked(); }

absl::Status CheckRule(const NameMap::Rule& rule) {
  const bool stack = std::any_of(rule.sides.begin(), rule.sides.end(), [](const auto& side) {
    return std::any_of(side.begin(), side.end(), [](const auto& tensor) { return tensor.axes.stacked(); });
  });
  std::set<std::string> placeholders;
  std::string stacked_by;
  if (stack) {
    CAIRN_RETURN_IF_ERROR(CheckStack(rule));
    stacked_by = rule.sides[rule.sides[0][0].axes.stacked() ? 0 : 1][0].axes.stack_placeholder;
  }
  bool first = true;
  for (const std::vector<NameMap::Tensor>& side : rule.sides) {
    for (const NameMap::Tensor& tensor : side) {
      std::set<std::string> own(tensor.name.placeholders().begin(), tensor.name.placeholders().end());
      if (own.size() != tensor.name.placeholders().size()) {
        return absl::InvalidArgumentError(absl::StrCat("name \"", tensor.name.text(), "\": a placeholder twice"));
      }
      own.erase(stacked_by);
      if (first) placeholders = own;
      if (own != placeholders) {
        return absl::InvalidArgumentError(absl::StrCat("name \"", tensor.name.text(), "\": expected placeholders {",
                                                       absl::StrJoin(placeholders, "}, {"),
                                                       "} as in the rule's other names"));
      }
      first = false;
    }
  }
  if (IsRename(rule)) return absl::OkStatus();
  const std::vector<RulePart> left = PartsOf(rule.sides[0]), right = PartsOf(rule.sides[1]);
  if (left.size() != right.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the left has ", left.size(), " parts, the right ", right.size()));
  }
  for (size_t i = 0; i < left.size(); ++i) {
    const AxisProduct a = SortedAxes(rule.sides[0][left[i].tensor].axes.Part(left[i].part));
    const AxisProduct b = SortedAxes(rule.sides[1][right[i].tensor].axes.Part(right[i].part));
    if (a != b) {
      return absl::InvalidArgumentError(
          absl::StrCat("part ", i + 1, " has axes \"", Show(a), "\" on the left and \"", Show(b), "\" on the right"));
    }
    const auto twice = std::adjacent_find(a.begin(), a.end());
    if (twice != a.end()) {
      return absl::InvalidArgumentError(absl::StrCat("part ", i + 1, " has axis \"", Show({*twice}), "\" twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace cairn
