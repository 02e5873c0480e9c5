// Whether boxes cover a tensor exactly (CheckTiling of shape.h).
//
// How many boxes cover an element is a step function of its position. It is the running sum, over all
// dimensions, of what the boxes' corners say: a box adds (-1)^m at each of its corners that has m coordinates
// at a far end. Two such functions are equal exactly if their corners add up alike, so it is enough to sum
// the corners and to compare with those of the whole tensor. Corners at the tensor's own far end change
// nothing inside it and are left out; what remains of the whole tensor is one corner, at the origin.
//
// The corner that comes first in row-major order among those that do not add up is the first wrong element:
// no other such corner lies before it in every dimension, so its sum is by how much the element's cover
// differs from one.
//
// A box has up to 2^rank corners. Usual grids split few dimensions; where there are too many corners, boxes
// are compared in pairs, and holes found by their volume.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/numeric/int128.h"
#include "common/tensor/shape.h"

namespace cairn {
namespace {

constexpr uint64_t kMaxCorners = uint64_t{1} << 22;  // 32 bytes each. Eight per box are always allowed.

int64_t End(const Box& box, size_t d) { return box.offset[d] + box.extent[d]; }

// The first element, in row-major order, that is not covered once.
struct Fault {
  std::vector<int64_t> at;
  bool hole = false;
};

class Checker {
 public:
  // `boxes` without elements are left out of `used`.
  Checker(absl::Span<const int64_t> shape, absl::Span<const Box> boxes) : shape_(shape), boxes_(boxes) {
    for (size_t i = 0; i < boxes.size(); ++i) {
      const Shape& extent = boxes[i].extent;
      if (std::find(extent.begin(), extent.end(), 0) == extent.end()) used_.push_back(i);
    }
    CollectCuts();
  }

  Tiling Check() const {
    const std::optional<uint64_t> corners = CountCorners();
    if (corners.has_value()) {
      const std::optional<Fault> fault = FirstFault(*corners);
      if (!fault.has_value()) return {};
      return fault->hole ? HoleAt(fault->at) : OverlapAt(fault->at);
    }
    if (const std::optional<std::pair<size_t, size_t>> pair = AnyOverlap(); pair.has_value()) {
      return OverlapOf(pair->first, pair->second);
    }
    const std::optional<std::vector<int64_t>> hole = FirstHole();
    return hole.has_value() ? HoleAt(*hole) : Tiling{};
  }

 private:
  // Per dimension the coordinates where something begins or ends, 0 included and the far end excluded,
  // ascending.
  void CollectCuts() {
    cuts_.resize(shape_.size());
    for (size_t d = 0; d < shape_.size(); ++d) {
      std::vector<int64_t>& cuts = cuts_[d];
      cuts.reserve(2 * used_.size() + 1);
      cuts.push_back(0);
      for (size_t i : used_) {
        cuts.push_back(boxes_[i].offset[d]);
        if (End(boxes_[i], d) < shape_[d]) cuts.push_back(End(boxes_[i], d));
      }
      std::sort(cuts.begin(), cuts.end());
      cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    }
  }

  // Bits that tell the cuts of a dimension apart.
  int CutBits(size_t d) const { return std::bit_width(cuts_[d].size() - 1); }

  // Nothing if there are too many.
  std::optional<uint64_t> CountCorners() const {
    uint64_t corners = 0;
    for (size_t i : used_) {
      uint64_t of_box = 1;
      for (size_t d = 0; d < shape_.size(); ++d) {
        if (End(boxes_[i], d) < shape_[d]) of_box *= 2;  // At most 2^kMaxRank.
      }
      corners += of_box;
      if (corners > std::max<uint64_t>(kMaxCorners, 8 * used_.size())) return std::nullopt;
    }
    return corners;
  }

  std::optional<Fault> FirstFault(uint64_t count) const {
    // Keys are the ranks of the coordinates among the cuts, the first dimension highest: they sort in
    // row-major order. They fit: a dimension has at most as many cuts as elements, and the product of the
    // extents is below 2^63, so that a key has at most 63 bits and one more per dimension for rounding up.
    std::vector<std::pair<absl::uint128, int32_t>> corners;
    corners.reserve(count + 1);
    corners.emplace_back(0, -1);
    for (size_t i : used_) {
      const size_t first = corners.size();
      corners.emplace_back(0, 1);
      for (size_t d = 0; d < shape_.size(); ++d) {
        const absl::uint128 begin = Rank(d, boxes_[i].offset[d]);
        const bool ends_inside = End(boxes_[i], d) < shape_[d];
        const absl::uint128 end = ends_inside ? Rank(d, End(boxes_[i], d)) : 0;
        for (size_t c = first, last = corners.size(); c < last; ++c) {
          const absl::uint128 key = corners[c].first << CutBits(d);
          if (ends_inside) corners.emplace_back(key | end, -corners[c].second);
          corners[c].first = key | begin;
        }
      }
    }
    std::sort(corners.begin(), corners.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (size_t c = 0; c < corners.size();) {
      const absl::uint128 key = corners[c].first;
      int64_t sum = 0;
      for (; c < corners.size() && corners[c].first == key; ++c) sum += corners[c].second;
      if (sum != 0) return Fault{Position(key), sum < 0};
    }
    return std::nullopt;
  }

  uint64_t Rank(size_t d, int64_t coordinate) const {
    return std::lower_bound(cuts_[d].begin(), cuts_[d].end(), coordinate) - cuts_[d].begin();
  }

  std::vector<int64_t> Position(absl::uint128 key) const {
    std::vector<int64_t> position(shape_.size());
    for (size_t d = shape_.size(); d-- > 0;) {
      const int bits = CutBits(d);
      const absl::uint128 mask = (absl::uint128(1) << bits) - 1;
      position[d] = cuts_[d][static_cast<size_t>(absl::Uint128Low64(key & mask))];
      key >>= bits;
    }
    return position;
  }

  // Sweeps along the dimension that is cut most.
  std::optional<std::pair<size_t, size_t>> AnyOverlap() const {
    size_t along = 0;
    for (size_t d = 1; d < shape_.size(); ++d) {
      if (cuts_[d].size() > cuts_[along].size()) along = d;
    }
    std::vector<size_t> order = used_;
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return boxes_[a].offset[along] < boxes_[b].offset[along]; });
    std::vector<size_t> active;
    for (size_t i : order) {
      size_t kept = 0;
      for (size_t other : active) {
        if (End(boxes_[other], along) <= boxes_[i].offset[along]) continue;
        if (Share(boxes_[i], boxes_[other])) return std::minmax(i, other);
        active[kept++] = other;
      }
      active.resize(kept);
      active.push_back(i);
    }
    return std::nullopt;
  }

  static bool Share(const Box& a, const Box& b) {
    for (size_t d = 0; d < a.offset.size(); ++d) {
      if (a.offset[d] >= End(b, d) || b.offset[d] >= End(a, d)) return false;
    }
    return true;
  }

  // For boxes that do not overlap: the first element that none covers. Halves the part of the tensor where
  // volume is missing, one dimension after the other, until it lies between two cuts in each.
  std::optional<std::vector<int64_t>> FirstHole() const {
    Box part = Box::Whole(shape_);
    if (!MissesVolume(part)) return std::nullopt;
    for (size_t d = 0; d < shape_.size(); ++d) {
      size_t low = 0, high = cuts_[d].size();  // The hole begins at one of these cuts.
      while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        const int64_t end = End(part, d);
        part.extent[d] = cuts_[d][middle] - part.offset[d];
        if (MissesVolume(part)) {
          high = middle;
        } else {
          part.offset[d] = cuts_[d][middle];
          part.extent[d] = end - part.offset[d];
          low = middle;
        }
      }
    }
    return part.offset;
  }

  bool MissesVolume(const Box& part) const {
    uint64_t missing = 1;
    for (int64_t extent : part.extent) missing *= static_cast<uint64_t>(extent);
    for (size_t i : used_) {
      uint64_t covered = 1;
      for (size_t d = 0; d < shape_.size(); ++d) {
        const int64_t begin = std::max(part.offset[d], boxes_[i].offset[d]);
        const int64_t end = std::min(End(part, d), End(boxes_[i], d));
        covered *= end > begin ? static_cast<uint64_t>(end - begin) : 0;
      }
      missing -= covered;
    }
    return missing != 0;
  }

  // The element `at` is free, and so is all of a box that begins there: it ends where the boxes in its way
  // begin.
  Tiling HoleAt(const std::vector<int64_t>& at) const {
    Box hole{at, Shape(at.size())};
    for (size_t d = 0; d < at.size(); ++d) hole.extent[d] = shape_[d] - at[d];
    for (size_t i : used_) {
      if (!Share(hole, boxes_[i])) continue;
      // Cut in the dimension where most of the hole stays.
      size_t best = 0;
      double best_kept = -1;
      for (size_t d = 0; d < at.size(); ++d) {
        const int64_t room = boxes_[i].offset[d] - at[d];
        const double kept = static_cast<double>(room) / static_cast<double>(hole.extent[d]);
        if (room > 0 && kept > best_kept) best = d, best_kept = kept;
      }
      hole.extent[best] = boxes_[i].offset[best] - at[best];
    }
    Tiling tiling;
    tiling.verdict = Tiling::Verdict::kHole;
    tiling.box = std::move(hole);
    return tiling;
  }

  Tiling OverlapAt(const std::vector<int64_t>& at) const {
    const Box element{at, Shape(at.size(), 1)};
    std::vector<size_t> covering;
    for (size_t i : used_) {
      if (Share(element, boxes_[i])) covering.push_back(i);
      if (covering.size() == 2) break;
    }
    return OverlapOf(covering.at(0), covering.at(1));
  }

  Tiling OverlapOf(size_t first, size_t second) const {
    Tiling tiling;
    tiling.verdict = Tiling::Verdict::kOverlap;
    Intersect(boxes_[first], boxes_[second], &tiling.box);
    tiling.first = first;
    tiling.second = second;
    return tiling;
  }

  const absl::Span<const int64_t> shape_;
  const absl::Span<const Box> boxes_;
  std::vector<size_t> used_;  // Indices of the boxes that have elements.
  std::vector<std::vector<int64_t>> cuts_;
};

}  // namespace

Tiling CheckTiling(absl::Span<const int64_t> shape, absl::Span<const Box> boxes) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return {};
  return Checker(shape, boxes).Check();
}

}  // namespace cairn
