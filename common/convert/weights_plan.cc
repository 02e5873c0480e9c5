#include "common/convert/weights_plan.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status_macros.h"

namespace cairn {
namespace {

// Of several places that could be meant, the only one that the selection chooses anything of; nothing if that says nothing.
std::optional<WeightsPlace> ChosenPlace(const CheckpointIndex& source, const PlanOptions& options,
                                        const std::vector<std::string>& candidates) {
  std::vector<KeyPath> roots;
  for (const std::string& candidate : candidates) roots.push_back(KeyPath::Parse(candidate).value_or(KeyPath()));
  const auto root_of = [&](const Entry& entry) {
    return std::find_if(roots.begin(), roots.end(), [&](const KeyPath& root) { return entry.path.StartsWith(root); });
  };
  std::optional<KeyPath> chosen;
  for (const Entry& entry : source.entries) {
    const auto root = root_of(entry);
    if (root == roots.end() || entry.kind == EntryKind::kAsset || !options.select.Matches(entry.path)) continue;
    if (chosen.has_value() && *chosen != *root) return std::nullopt;
    chosen = *root;
  }
  if (!chosen.has_value()) return std::nullopt;
  // What else the checkpoint holds tells whose it is.
  CheckpointIndex without_others;
  std::vector<size_t> numbers;
  for (size_t i = 0; i < source.entries.size(); ++i) {
    if (const auto root = root_of(source.entries[i]); root != roots.end() && *root != *chosen) continue;
    without_others.entries.push_back(source.entries[i]);
    numbers.push_back(i);
  }
  WeightsFinding finding = FindWeights(without_others, options.root);
  if (!finding.place.has_value() || !finding.place->root.StartsWith(*chosen)) return FindWeights(source, *chosen).place;
  for (size_t& entry : finding.place->entries) entry = numbers[entry];
  return std::move(finding.place);
}

}  // namespace

absl::StatusOr<WeightsPlan> MakeWeightsPlan(const CheckpointIndex& source, PlanOptions options) {
  WeightsPlan result;
  WeightsFinding finding = FindWeights(source, options.root);
  if (finding.candidates.size() > 1 && !options.select.empty()) finding.place = ChosenPlace(source, options, finding.candidates);
  if (!finding.place.has_value()) return WeightsError(finding, options.root);
  result.place = *std::move(finding.place);
  options.root = result.place.root;
  options.only = result.place.entries;
  CAIRN_ASSIGN_OR_RETURN(result.plan, MakeConvertPlan(source, options));
  CAIRN_RETURN_IF_ERROR(
      RenameTarget(result.plan, [&](const KeyPath& path) -> absl::StatusOr<KeyPath> { return result.place.NameOf(path); }));
  return result;
}

}  // namespace cairn
