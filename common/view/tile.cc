#include "common/view/tile.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "common/base/checked_math.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

// What a system call costs, in bytes that could be read instead.
constexpr uint64_t kReadThroughGap = 4096;

uint64_t SaturatedMul(uint64_t a, uint64_t b) {
  return CheckedMul(a, b).value_or(std::numeric_limits<uint64_t>::max());
}

}  // namespace

TileLayout LayOutTile(absl::Span<const int64_t> extents, absl::Span<const int64_t> strides) {
  TileLayout layout;
  layout.strides.assign(extents.size(), 0);
  std::vector<size_t> order;
  for (size_t i = 0; i < extents.size(); ++i) {
    if (extents[i] > 1 && strides[i] > 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return strides[a] < strides[b]; });
  for (const size_t i : order) {
    const uint64_t stride = static_cast<uint64_t>(strides[i]), count = static_cast<uint64_t>(extents[i]);
    // A gap no wider than the run itself stays in it: at most twice the memory, and far fewer reads.
    if (layout.loops.empty() && stride / 2 <= layout.run_elements && stride <= layout.run_elements * 2) {
      layout.run_elements += (count - 1) * stride;  // Within the storage, so no overflow.
      layout.memory_elements = layout.run_elements;
      layout.strides[i] = strides[i];
      continue;
    }
    const uint64_t pitch = layout.memory_elements;
    layout.strides[i] = static_cast<int64_t>(std::min<uint64_t>(pitch, std::numeric_limits<int64_t>::max()));
    layout.memory_elements = SaturatedMul(pitch, count);
    if (!layout.loops.empty() && layout.loops.back().storage_stride * layout.loops.back().count == stride) {
      layout.loops.back().count *= count;
    } else {
      layout.loops.push_back({count, stride, pitch});
    }
  }
  return layout;
}

absl::Status FetchRuns(uint64_t offset, uint64_t run, uint64_t count, uint64_t stride, const StorageRead& read,
                       absl::Span<char> staging, char* memory) {
  const bool together = stride >= run && stride - run <= kReadThroughGap && stride <= staging.size() / 2;
  while (count > 0) {
    const uint64_t runs = together ? std::min(count, (staging.size() - run) / stride + 1) : 1;
    if (runs == 1) {
      CAIRN_RETURN_IF_ERROR(read(offset, absl::MakeSpan(memory, run)));
    } else {
      const absl::Span<char> bytes = staging.subspan(0, (runs - 1) * stride + run);
      CAIRN_RETURN_IF_ERROR(read(offset, bytes));
      for (uint64_t i = 0; i < runs; ++i) std::memcpy(memory + i * run, bytes.data() + i * stride, run);
    }
    count -= runs;
    offset += runs * stride;
    memory += runs * run;
  }
  return absl::OkStatus();
}

absl::Status FetchTile(const TileLayout& layout, uint64_t first, uint32_t element_size, const StorageRead& read,
                       absl::Span<char> staging, char* memory) {
  const uint64_t run = layout.run_elements * element_size;
  if (layout.loops.empty()) return read(first * element_size, absl::MakeSpan(memory, run));
  const TileLayout::Loop& inner = layout.loops[0];
  std::vector<uint64_t> position(layout.loops.size(), 0);
  while (true) {
    uint64_t from = first, to = 0;
    for (size_t i = 1; i < position.size(); ++i) {
      from += position[i] * layout.loops[i].storage_stride;
      to += position[i] * layout.loops[i].memory_stride;
    }
    CAIRN_RETURN_IF_ERROR(FetchRuns(from * element_size, run, inner.count, inner.storage_stride * element_size, read,
                                    staging, memory + to * element_size));
    size_t i = 1;
    while (i < position.size() && ++position[i] == layout.loops[i].count) position[i++] = 0;
    if (i == position.size()) return absl::OkStatus();
  }
}

}  // namespace cairn
