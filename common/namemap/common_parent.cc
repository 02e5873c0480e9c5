#include "common/namemap/common_parent.h"

#include <algorithm>
#include <vector>

namespace cairn {

size_t CommonParentDepth(const CheckpointIndex& index) {
  const std::vector<KeyPath::Segment>* first = nullptr;
  size_t depth = 0;
  for (const Entry& entry : index.entries) {
    if (entry.kind != EntryKind::kTensor && entry.kind != EntryKind::kAlias) continue;
    const std::vector<KeyPath::Segment>& segments = entry.path.segments();
    if (segments.empty()) return 0;
    if (first == nullptr) {
      first = &segments;
      depth = segments.size() - 1;
      continue;
    }
    depth = std::min(depth, segments.size() - 1);
    depth = static_cast<size_t>(
        std::mismatch(segments.begin(), segments.begin() + static_cast<ptrdiff_t>(depth), first->begin()).first -
        segments.begin());
  }
  return depth;
}

KeyPath WithoutParent(const KeyPath& path, size_t depth) {
  const std::vector<KeyPath::Segment>& segments = path.segments();
  return KeyPath(std::vector<KeyPath::Segment>(
      segments.begin() + static_cast<ptrdiff_t>(std::min(depth, segments.size())), segments.end()));
}

}  // namespace cairn
