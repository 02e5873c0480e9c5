#include "common/format/torch/torch_expectations.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/format/torch/torch_tensor.h"
#include "common/pickle/pickle_values.h"

namespace cairn {
namespace {

bool IsName(const PickleTree& tree, PickleNodeId key) { return tree.IsStr(key) && !tree.has_surrogates(key); }

// The first key that is no name; numbers count as names where they do in a tree.
std::optional<PickleNodeId> StrangeKey(const PickleTree& tree, const PickleMapping& mapping, bool numbers) {
  for (const auto& [key, value] : mapping.pairs) {
    if (!IsName(tree, key) && !(numbers && tree.kind(key) == PickleKind::kInt)) return key;
  }
  return std::nullopt;
}

std::string Found(const PickleTree& tree, PickleNodeId node) {
  // One that is malformed claims to be a tensor as well.
  const absl::StatusOr<std::optional<TorchTensor>> tensor = AsTorchTensor(tree, node);
  return !tensor.ok() || tensor->has_value() ? "a tensor" : PickleNodeName(tree, node);
}

absl::Status CheckDict(const PickleTree& tree, PickleNodeId node, const std::optional<PickleMapping>& mapping, bool numbers, absl::string_view where,
                       absl::string_view expected) {
  if (!mapping.has_value()) return absl::InvalidArgumentError(absl::StrCat(where, ": expected ", expected, ", found ", Found(tree, node)));
  const std::optional<PickleNodeId> strange = StrangeKey(tree, *mapping, numbers);
  if (!strange.has_value()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(where, ": expected ", expected, ", found a dict with a key that is ", PickleNodeName(tree, *strange)));
}

bool Contains(const std::vector<std::string>& names, absl::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); }

}  // namespace

absl::Status CheckTorchRoot(const PickleTree& tree, PickleNodeId root, const TorchExpectations& expectations, absl::string_view where) {
  if (!expectations.named) return absl::OkStatus();
  const std::optional<PickleMapping> mapping = AsMapping(tree, root);
  if (absl::Status named = CheckDict(tree, root, mapping, false, where, "a dict by name"); !named.ok()) return named;
  for (const auto& [key, value] : mapping->pairs) {
    const absl::string_view name = tree.text(key);
    if (Contains(expectations.dicts, name)) {
      const absl::Status checked = CheckDict(tree, value, AsMapping(tree, value), true, absl::StrCat(where, ": \"", name, "\""), "a dict of tensors");
      if (!checked.ok()) return checked;
    }
    if (Contains(expectations.texts, name) && !tree.IsStr(value)) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": \"", name, "\": expected a text, found ", Found(tree, value)));
    }
  }
  return absl::OkStatus();
}

}  // namespace cairn
