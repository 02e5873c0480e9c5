#include "common/namemap/map_step.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/namemap/rule_check.h"
#include "common/namemap/rule_parts.h"

namespace cairn {
namespace {

constexpr size_t kNamesInMessage = 20;

using Numbers = std::map<std::string, int64_t>;

// A rule with numbers in place of its placeholders, and the tensors that it takes.
struct Instance {
  const NameMap::Rule* rule = nullptr;
  Numbers numbers;
  // Per tensor of the source side; more than one where a placeholder stacks them: by that number.
  std::vector<std::map<int64_t, const NamedTensor*>> taken;
};

class Step {
 public:
  Step(const MapStep& step, const std::vector<NamedTensor>& source, Symbols& symbols)
      : map_(*step.map),
        from_(step.from_side),
        to_(1 - step.from_side),
        step_(step),
        source_(source),
        symbols_(symbols) {
    for (const NamedTensor& tensor : source_) by_name_.emplace(tensor.name, &tensor);
    for (const NameMap::Rule& rule : map_.rules) {
      for (size_t i = 0; i < rule.sides[from_].size(); ++i) {
        rules_[rule.sides[from_][i].name.name_template()].emplace_back(&rule, i);
      }
    }
  }

  absl::StatusOr<StepResult> Run() {
    ResolveTies();
    CAIRN_RETURN_IF_ERROR(AssignAll());
    CAIRN_RETURN_IF_ERROR(CheckComplete());
    FindSymbols();
    for (const Instance& instance : instances_) {
      CAIRN_RETURN_IF_ERROR(Annotate(Build(instance), absl::StrCat("\"", AnyName(instance), "\"")));
    }
    AddAliases();
    return std::move(result_);
  }

 private:
  // Heads that are the embedding: what of them is taken, and what becomes of them.
  void ResolveTies() {
    const auto known = symbols_.find("tied");
    for (size_t i = 0; i < map_.tied[from_].size(); ++i) {
      const auto& [head, base] = map_.tied[from_][i];
      const auto base_tensor = by_name_.find(base);
      if (base_tensor == by_name_.end()) continue;
      const auto head_tensor = by_name_.find(head);
      const bool there = head_tensor != by_name_.end();
      // Whichever of the two a file names first has the bytes.
      const bool same = there && (head_tensor->second->alias_of == base || base_tensor->second->alias_of == head);
      const bool says_so = known != symbols_.end() && known->second != 0;
      const bool denies = known != symbols_.end() && known->second == 0;
      if (!same && (there ? !says_so : denies)) continue;
      if (there && step_.to->tied == Naming::Tied::kCopy) continue;
      if (there) {
        left_out_.insert(head);
        if (!same) result_.dropped.push_back(head);
      }
      if (step_.to->tied == Naming::Tied::kAlias) aliases_.push_back(map_.tied[to_][i]);
      if (step_.to->tied == Naming::Tied::kCopy) {
        copies_.push_back(std::make_unique<NamedTensor>(NamedTensor{head, base_tensor->second->tensor, ""}));
      }
    }
  }

  absl::Status AssignAll() {
    std::vector<std::string> unmapped;
    const auto assign = [&](const NamedTensor& tensor) -> absl::Status {
      if (left_out_.contains(tensor.name)) return absl::OkStatus();
      CAIRN_ASSIGN_OR_RETURN(const bool known, Assign(tensor));
      if (known) return absl::OkStatus();
      if (IsDropped(tensor.name)) {
        result_.dropped.push_back(tensor.name);
      } else {
        unmapped.push_back(tensor.name);
      }
      return absl::OkStatus();
    };
    for (const NamedTensor& tensor : source_) CAIRN_RETURN_IF_ERROR(assign(tensor));
    for (const std::unique_ptr<NamedTensor>& tensor : copies_) CAIRN_RETURN_IF_ERROR(assign(*tensor));
    if (unmapped.empty()) return absl::OkStatus();
    const size_t count = unmapped.size();
    unmapped.resize(std::min(count, kNamesInMessage));
    return absl::InvalidArgumentError(absl::StrCat(
        count, count == 1 ? " name of " : " names of ", step_.from->name, " without a rule to ", step_.to->name, ": \"",
        absl::StrJoin(unmapped, "\", \""), "\"", count > kNamesInMessage ? ", ..." : "",
        "; leave them out with a selection, or add rules in a file of your own"));
  }

  absl::StatusOr<bool> Assign(const NamedTensor& tensor) {
    const NameTemplate name = NameTemplate::Of(tensor.name);
    const auto rules = rules_.find(name.text);
    if (rules == rules_.end()) return false;
    for (const auto& [rule, index] : rules->second) {
      std::optional<Numbers> numbers = rule->sides[from_][index].name.Match(name);
      if (!numbers.has_value()) continue;
      int64_t in_stack = 0;
      if (IsStack(*rule) && !rule->sides[from_][0].axes.stacked()) {
        in_stack = numbers->extract(rule->sides[to_][0].axes.stack_placeholder).mapped();
      }
      const auto [at, is_new] = instance_of_.emplace(std::make_pair(rule, *numbers), instances_.size());
      if (is_new) {
        instances_.push_back({rule, *std::move(numbers), {}});
        instances_.back().taken.resize(rule->sides[from_].size());
      }
      if (!instances_[at->second].taken[index].emplace(in_stack, &tensor).second) {
        return absl::InvalidArgumentError(absl::StrCat("\"", tensor.name, "\" twice"));
      }
      return true;
    }
    return false;
  }

  bool IsDropped(const std::string& name) const {
    return std::any_of(map_.drop[from_].begin(), map_.drop[from_].end(), [&](const std::string& pattern) {
      if (absl::StrContains(pattern, "*")) return MatchesStars(name, pattern);
      const absl::StatusOr<NamePattern> parsed = NamePattern::Parse(pattern);
      const NameTemplate of_name = NameTemplate::Of(name);
      return parsed.ok() && parsed->name_template() == of_name.text && parsed->Match(of_name).has_value();
    });
  }

  static std::string AnyName(const Instance& instance) {
    for (const auto& tensors : instance.taken) {
      if (!tensors.empty()) return tensors.begin()->second->name;
    }
    return "";
  }

  absl::Status CheckComplete() const {
    for (const Instance& instance : instances_) {
      const std::vector<NameMap::Tensor>& side = instance.rule->sides[from_];
      for (size_t i = 0; i < side.size(); ++i) {
        const std::map<int64_t, const NamedTensor*>& tensors = instance.taken[i];
        // A stack has every number from 0 on; the highest one tells how many.
        int64_t expected = 0;
        for (const auto& [number, tensor] : tensors) {
          if (number != expected) break;
          ++expected;
        }
        if (!tensors.empty() && expected == static_cast<int64_t>(tensors.size())) continue;
        Numbers numbers = instance.numbers;
        if (IsStack(*instance.rule)) numbers[instance.rule->sides[to_][0].axes.stack_placeholder] = expected;
        return absl::InvalidArgumentError(absl::StrCat("\"", side[i].name.Fill(numbers),
                                                       "\" is missing, which goes with \"", AnyName(instance),
                                                       "\" into one tensor"));
      }
    }
    return absl::OkStatus();
  }

  // What follows from the configuration, then what shapes tell; where both are silent, the first default.
  void FindSymbols() {
    std::set<std::tuple<const DimAxes*, int64_t, int64_t>> sizes;
    for (const Instance& instance : instances_) {
      for (size_t i = 0; i < instance.taken.size(); ++i) {
        const Axes& axes = instance.rule->sides[from_][i].axes;
        for (const auto& [number, tensor] : instance.taken[i]) {
          const Shape shape = tensor->tensor.shape();
          if (shape.size() != axes.dims.size()) continue;  // Build() says so.
          for (size_t d = 0; d < shape.size(); ++d) {
            if (!axes.dims[d].stacked) sizes.emplace(&axes.dims[d], shape[d], 1);
          }
        }
      }
    }
    for (bool found = true; found;) {
      while (DeriveOne(map_.derived)) continue;
      found = false;
      for (const auto& [dim, size, stack] : sizes) found |= SolveFor(*dim, size, stack, /*local=*/false, symbols_);
      found = found || DeriveOne(map_.defaults);
    }
  }

  bool DeriveOne(const std::vector<std::pair<std::string, std::string>>& expressions) {
    for (const auto& [symbol, expression] : expressions) {
      if (symbols_.contains(symbol)) continue;
      // A division that leaves a remainder matters if the symbol is needed, and then it is missed there.
      const absl::StatusOr<std::optional<int64_t>> value = EvaluateExpression(expression, symbols_);
      if (!value.ok() || !value->has_value()) continue;
      symbols_[symbol] = **value;
      return true;
    }
    return false;
  }

  absl::Status Build(const Instance& instance) {
    const NameMap::Rule& rule = *instance.rule;
    std::vector<RuleSource> sources;
    for (const auto& tensors : instance.taken) {
      RuleSource& source = sources.emplace_back();
      for (const auto& [number, tensor] : tensors) source.push_back({tensor->name, &tensor->tensor});
    }
    CAIRN_ASSIGN_OR_RETURN(std::vector<RuleResult> built, BuildRule(rule, from_, sources, symbols_));
    for (RuleResult& one : built) {
      Numbers numbers = instance.numbers;
      if (IsStack(rule)) {
        const size_t stacked = rule.sides[0][0].axes.stacked() ? 0 : 1;
        numbers[rule.sides[stacked][0].axes.stack_placeholder] = one.in_stack;
      }
      result_.tensors.push_back({rule.sides[to_][one.tensor].name.Fill(numbers), std::move(one.value), ""});
    }
    return absl::OkStatus();
  }

  void AddAliases() {
    for (const auto& [head, base] : aliases_) {
      const auto tensor = std::find_if(result_.tensors.begin(), result_.tensors.end(),
                                       [&base = base](const NamedTensor& one) { return one.name == base; });
      if (tensor != result_.tensors.end()) result_.tensors.push_back({head, tensor->tensor, base});
    }
  }

  const NameMap& map_;
  const size_t from_, to_;
  const MapStep& step_;
  const std::vector<NamedTensor>& source_;
  Symbols& symbols_;

  absl::flat_hash_map<std::string, const NamedTensor*> by_name_;
  absl::flat_hash_map<std::string, std::vector<std::pair<const NameMap::Rule*, size_t>>> rules_;  // By name template.
  absl::flat_hash_set<std::string> left_out_;
  std::vector<std::unique_ptr<NamedTensor>> copies_;
  std::vector<std::pair<std::string, std::string>> aliases_;
  std::map<std::pair<const NameMap::Rule*, Numbers>, size_t> instance_of_;
  std::vector<Instance> instances_;
  StepResult result_;
};

}  // namespace

absl::StatusOr<StepResult> ApplyMapStep(const MapStep& step, const std::vector<NamedTensor>& source, Symbols& symbols) {
  return Step(step, source, symbols).Run();
}

}  // namespace cairn
