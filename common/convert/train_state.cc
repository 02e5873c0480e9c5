#include "common/convert/train_state.h"

#include <algorithm>

namespace cairn {
namespace {

bool AnyBelow(const CheckpointIndex& index, const KeyPath& root, bool below) {
  return std::any_of(index.entries.begin(), index.entries.end(), [&](const Entry& entry) {
    return entry.kind != EntryKind::kAsset &&
           (entry.path.segments().size() > root.segments().size() && entry.path.StartsWith(root)) == below;
  });
}

}  // namespace

std::optional<KeyPath> ParamsOfTrainState(const CheckpointIndex& index) {
  const KeyPath easylm = KeyPath::Of({"params", "params"});
  if (AnyBelow(index, easylm, true)) return easylm;
  const KeyPath flax = KeyPath::Of({"params"});
  if (AnyBelow(index, flax, true) && AnyBelow(index, flax, false)) return flax;
  return std::nullopt;
}

}  // namespace cairn
