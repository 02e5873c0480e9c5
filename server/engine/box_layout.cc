#include "server/engine/box_layout.h"

#include <algorithm>
#include <utility>

namespace cairn {
namespace {

std::vector<uint64_t> Strides(const Shape& extent) {
  std::vector<uint64_t> strides(extent.size());
  uint64_t step = 1;
  for (size_t d = extent.size(); d-- > 0;) {
    strides[d] = step;
    step *= static_cast<uint64_t>(extent[d]);
  }
  return strides;
}

bool Contains(const Box& box, absl::Span<const int64_t> at) {
  for (size_t d = 0; d < at.size(); ++d) {
    if (at[d] < box.offset[d] || at[d] - box.offset[d] >= box.extent[d]) return false;
  }
  return true;
}

}  // namespace

BoxLayout::BoxLayout(Box target, absl::Span<const Box> shards) : target_(std::move(target)) {
  for (int64_t extent : target_.extent) elements_ *= static_cast<uint64_t>(extent);
  for (size_t i = 0; i < shards.size(); ++i) {
    Source source{i, shards[i], Strides(shards[i].extent), {}, 0, 1};
    if (!Intersect(shards[i], target_, &source.common)) continue;
    const Shape& common = source.common.extent;
    size_t inner = common.size();
    // Inner dimensions that box and shard both hold whole join into one run, and so does the one before them.
    while (inner > 0) {
      --inner;
      source.run_length *= static_cast<uint64_t>(common[inner]);
      if (common[inner] != shards[i].extent[inner] || common[inner] != target_.extent[inner]) break;
    }
    source.first_inner = inner;
    sources_.push_back(std::move(source));
  }
}

std::optional<BoxLayout::Run> BoxLayout::At(uint64_t position) {
  int64_t at[kMaxRank];
  const size_t rank = target_.extent.size();
  for (size_t d = rank; d-- > 0;) {
    const uint64_t extent = static_cast<uint64_t>(target_.extent[d]);
    at[d] = target_.offset[d] + static_cast<int64_t>(position % extent);
    position /= extent;
  }
  for (size_t tried = 0; tried < sources_.size(); ++tried) {
    const size_t index = (last_ + tried) % sources_.size();
    const Source& source = sources_[index];
    if (!Contains(source.common, absl::MakeConstSpan(at, rank))) continue;
    last_ = index;
    Run run{source.shard, 0, source.run_length};
    uint64_t before = 0;  // Elements of the run that lie before the position.
    uint64_t step = 1;
    for (size_t d = rank; d-- > 0;) {
      run.position += static_cast<uint64_t>(at[d] - source.box.offset[d]) * source.stride[d];
      if (d < source.first_inner) continue;
      before += static_cast<uint64_t>(at[d] - source.common.offset[d]) * step;
      step *= static_cast<uint64_t>(source.common.extent[d]);
    }
    run.length -= before;
    return run;
  }
  return std::nullopt;
}

uint64_t BoxLayout::Interleaved(absl::Span<const uint64_t> bytes, uint64_t element_bytes) const {
  if (target_.extent.empty()) return 0;
  // Shards that have no index of the outermost dimension in common are read one after the other.
  size_t outer = 0;
  while (outer + 1 < target_.extent.size() && target_.extent[outer] == 1) ++outer;
  std::vector<std::pair<int64_t, int64_t>> changes;  // From that index on so many bytes more; fewer come first.
  for (const Source& source : sources_) {
    uint64_t elements = 1;
    for (const int64_t extent : source.common.extent) elements *= static_cast<uint64_t>(extent);
    if (elements == source.run_length || source.run_length * element_bytes >= bytes[source.shard]) continue;
    const int64_t begin = source.common.offset[outer];
    changes.emplace_back(begin, static_cast<int64_t>(bytes[source.shard]));
    changes.emplace_back(begin + source.common.extent[outer], -static_cast<int64_t>(bytes[source.shard]));
  }
  std::sort(changes.begin(), changes.end());
  int64_t now = 0, most = 0;
  for (const auto& [index, change] : changes) most = std::max(most, now += change);
  return static_cast<uint64_t>(most);
}

}  // namespace cairn
