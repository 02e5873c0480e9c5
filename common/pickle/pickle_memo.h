#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/pickle/pickle_tree.h"

namespace cairn {

// What a pickle remembers, by number. Picklers count from 0; other numbers cost a little more, and none costs memory
// for numbers that are not there.
class PickleMemo {
 public:
  static constexpr PickleNodeId kNothing = UINT32_MAX;

  PickleNodeId Get(uint64_t index) const {
    if (index < dense_.size() && dense_[index] != kNothing) return dense_[index];
    const auto found = sparse_.empty() ? sparse_.end() : sparse_.find(index);
    return found == sparse_.end() ? kNothing : found->second;
  }

  void Put(uint64_t index, PickleNodeId id) {
    if (index >= dense_.size() && index <= dense_.size() + kGap) dense_.resize(index + 1, kNothing);
    if (index < dense_.size()) {
      if (dense_[index] == kNothing && sparse_.count(index) == 0) ++size_;
      dense_[index] = id;
    } else if (sparse_.insert_or_assign(index, id).second) {
      ++size_;
    }
  }

  // Distinct numbers.
  uint64_t size() const { return size_; }
  uint64_t memory_bytes() const { return dense_.capacity() * sizeof(PickleNodeId) + sparse_.capacity() * kSlotBytes; }

 private:
  static constexpr uint64_t kGap = 64;
  static constexpr uint64_t kSlotBytes = 17;

  std::vector<PickleNodeId> dense_;
  absl::flat_hash_map<uint64_t, PickleNodeId> sparse_;
  uint64_t size_ = 0;
};

}  // namespace cairn
