#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/base/cancellation.h"
#include "common/diff/diff_plan.h"
#include "common/diff/statistics.h"
#include "common/format/format.h"

namespace cairn {

// How one entry of two checkpoints differs.
struct EntryComparison {
  EntryDifference difference = EntryDifference::kEqual;  // Never kSameLayout.
  const Entry* base = nullptr;    // Null for what was added.
  const Entry* target = nullptr;  // Null for what was removed.
  // Of tensors whose bytes were read: changed ones, equal ones without digests, and recast ones of one shape.
  std::optional<TensorSummary> statistics;
  bool close = false;  // Changed, but every element within the tolerance.

  const Entry& entry() const { return target != nullptr ? *target : *base; }
};

struct CompareOptions {
  Tolerance tolerance;
  int threads = 0;  // That compute; 0: one for each processor, eight at most.
  // Digests by entry; of equal digests equal bytes follow, which are not read then. Empty: none are known.
  std::vector<std::string> base_digests = {};
  std::vector<std::string> target_digests = {};
  std::function<void(uint64_t bytes_done, uint64_t bytes_total)> progress = {};
  Cancellation cancellation = {};
};

// Compares two checkpoints, entry by entry, and reports each as soon as it is known, in the order of MakeDiffPlan. Bytes are
// read once, front to back; the memory is some 2 MiB for each thread. An error of `report` ends it.
absl::Status CompareCheckpoints(CheckpointReader& base, CheckpointReader& target, const CompareOptions& options,
                                const std::function<absl::Status(const EntryComparison&)>& report);

// "equal", "changed", "value changed", "added", "removed", "reshaped", "recast".
absl::string_view DifferenceName(EntryDifference difference);

}  // namespace cairn
