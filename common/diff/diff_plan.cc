#include "common/diff/diff_plan.h"

#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace cairn {
namespace {

EntryDifference Compare(const Entry& base, const Entry& target) {
  switch (target.kind) {
    case EntryKind::kTensor:
      if (base.dtype != target.dtype) return EntryDifference::kRecast;
      return base.shape == target.shape ? EntryDifference::kSameLayout : EntryDifference::kReshaped;
    case EntryKind::kAsset:
      return base.byte_size == target.byte_size ? EntryDifference::kSameLayout : EntryDifference::kChanged;
    case EntryKind::kValue:
      return base.value == target.value ? EntryDifference::kEqual : EntryDifference::kValueChanged;
    case EntryKind::kAlias:
      return base.target == target.target ? EntryDifference::kEqual : EntryDifference::kValueChanged;
  }
  return EntryDifference::kChanged;
}

}  // namespace

std::vector<DiffItem> MakeDiffPlan(const CheckpointIndex& base, const CheckpointIndex& target) {
  absl::flat_hash_map<std::pair<EntryKind, KeyPath>, size_t> of_base;
  for (size_t i = 0; i < base.entries.size(); ++i) of_base.emplace(std::pair(base.entries[i].kind, base.entries[i].path), i);
  std::vector<DiffItem> items;
  items.reserve(target.entries.size());
  std::vector<bool> matched(base.entries.size());
  for (size_t i = 0; i < target.entries.size(); ++i) {
    const Entry& entry = target.entries[i];
    const auto found = of_base.find(std::pair(entry.kind, entry.path));
    if (found == of_base.end()) {
      items.push_back({EntryDifference::kAdded, std::nullopt, i});
    } else {
      matched[found->second] = true;
      items.push_back({Compare(base.entries[found->second], entry), found->second, i});
    }
  }
  for (size_t i = 0; i < base.entries.size(); ++i) {
    if (!matched[i]) items.push_back({EntryDifference::kRemoved, i, std::nullopt});
  }
  return items;
}

}  // namespace cairn
