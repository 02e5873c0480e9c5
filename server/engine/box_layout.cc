#include "server/engine/box_layout.h"

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

}  // namespace cairn
