#include "common/diff/compare.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/diff/element_values.h"
#include "common/diff/piece_ring.h"

namespace cairn {
namespace {

constexpr uint64_t kWindowBytes = 1u << 20;
constexpr int kMostThreads = 8;

// What is compared as a whole: an element; of packed dtypes and assets a byte.
uint64_t UnitOf(const Entry& entry) {
  const bool whole = entry.kind == EntryKind::kTensor && BitWidth(entry.dtype) % 8 == 0;
  return whole ? static_cast<uint64_t>(BitWidth(entry.dtype)) / 8 : 1;
}

// One window of both ends, or an entry of which nothing is read.
struct Work {
  bool first = false, last = false, reads = false;
  EntryComparison entry;  // What is known from the indices.
  std::string base, target;
  Tolerance tolerance;
  TensorStatistics statistics;
  bool equal = true;

  void Run() {
    statistics = {};
    if (!reads) return;
    equal = base == target;
    if (entry.target->kind != EntryKind::kTensor) return;
    if (equal && entry.base->dtype == entry.target->dtype) {
      statistics.AddEqual(entry.target->dtype, target);
      return;
    }
    statistics.Add(entry.base->dtype, base, entry.target->dtype, target, tolerance);
  }
};

class Comparison {
 public:
  Comparison(CheckpointReader& base, CheckpointReader& target, const CompareOptions& options,
             const std::function<absl::Status(const EntryComparison&)>& report)
      : base_(base),
        target_(target),
        options_(options),
        report_(report),
        plan_(MakeDiffPlan(base.index(), target.index())) {}

  absl::Status Run() {
    CAIRN_RETURN_IF_ERROR(Announce());
    const int threads = options_.threads > 0
                            ? options_.threads
                            : std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMostThreads);
    PieceRing<Work> ring(threads);
    const auto take = [this](Work& work) { return Take(work); };
    for (const DiffItem& item : plan_) {
      if (const absl::Status status = AddItem(item, ring, take); !status.ok()) {
        const Entry& entry = item.target ? target_.index().entries[*item.target] : base_.index().entries[*item.base];
        return absl::IsCancelled(status) ? status : Annotate(status, absl::StrCat("\"", entry.path.ToString(), "\""));
      }
    }
    return ring.Drain(take);
  }

 private:
  const Entry* BaseOf(const DiffItem& item) const { return item.base ? &base_.index().entries[*item.base] : nullptr; }
  const Entry* TargetOf(const DiffItem& item) const {
    return item.target ? &target_.index().entries[*item.target] : nullptr;
  }

  bool Reads(const DiffItem& item) const {
    if (!item.base || !item.target) return false;
    const Entry& base = *BaseOf(item);
    const Entry& target = *TargetOf(item);
    if (item.difference == EntryDifference::kSameLayout) return target.byte_size > 0 && !SameDigest(item);
    return item.difference == EntryDifference::kRecast && base.shape == target.shape && target.byte_size > 0 &&
           diff_internal::HasValues(base.dtype) && diff_internal::HasValues(target.dtype) &&
           diff_internal::ValuesPerElement(base.dtype) == diff_internal::ValuesPerElement(target.dtype);
  }

  bool SameDigest(const DiffItem& item) const {
    if (*item.base >= options_.base_digests.size() || *item.target >= options_.target_digests.size()) return false;
    const std::string& base = options_.base_digests[*item.base];
    return !base.empty() && base == options_.target_digests[*item.target];
  }

  absl::Status Announce() {
    std::vector<EntryRange> of_base, of_target;
    for (const DiffItem& item : plan_) {
      if (!Reads(item)) continue;
      of_base.push_back({*item.base, 0, BaseOf(item)->byte_size});
      of_target.push_back({*item.target, 0, TargetOf(item)->byte_size});
      total_ += BaseOf(item)->byte_size + TargetOf(item)->byte_size;
    }
    CAIRN_RETURN_IF_ERROR(base_.WillRead(of_base));
    return target_.WillRead(of_target);
  }

  template <class Take>
  absl::Status AddItem(const DiffItem& item, PieceRing<Work>& ring, const Take& take) {
    EntryComparison known{item.difference, BaseOf(item), TargetOf(item), std::nullopt, false};
    const bool reads = Reads(item);
    if (!reads && item.difference == EntryDifference::kSameLayout) known.difference = EntryDifference::kEqual;
    if (!reads) return AddWork(known, 0, 0, 0, item, true, true, ring, take);
    // As many elements on both sides, in windows that no element straddles.
    const uint64_t base_size = UnitOf(*known.base), target_size = UnitOf(*known.target);
    const uint64_t count = known.target->byte_size / target_size;
    const uint64_t window = kWindowBytes / std::max(base_size, target_size);
    for (uint64_t done = 0; done < count; done += window) {
      const uint64_t length = std::min(window, count - done);
      CAIRN_RETURN_IF_ERROR(AddWork(known, done, length * base_size, length * target_size, item, done == 0,
                                    done + length == count, ring, take));
    }
    return absl::OkStatus();
  }

  // `element` and the two lengths say what to read; no length: nothing.
  template <class Take>
  absl::Status AddWork(const EntryComparison& known, uint64_t element, uint64_t base_bytes, uint64_t target_bytes,
                       const DiffItem& item, bool first, bool last, PieceRing<Work>& ring, const Take& take) {
    CAIRN_RETURN_IF_ERROR(options_.cancellation.Check());
    CAIRN_ASSIGN_OR_RETURN(Work* const work, ring.Next(take));
    work->entry = known;
    work->first = first;
    work->last = last;
    work->reads = target_bytes > 0;
    work->tolerance = options_.tolerance;
    work->base.resize(base_bytes);
    work->target.resize(target_bytes);
    if (work->reads) {
      CAIRN_RETURN_IF_ERROR(base_.ReadAt(*item.base, element * UnitOf(*known.base), absl::MakeSpan(work->base)));
      CAIRN_RETURN_IF_ERROR(target_.ReadAt(*item.target, element * UnitOf(*known.target), absl::MakeSpan(work->target)));
      done_ += base_bytes + target_bytes;
      if (options_.progress) options_.progress(done_, total_);
    }
    ring.Start(work);
    return absl::OkStatus();
  }

  absl::Status Take(Work& work) {
    if (work.first) {
      statistics_ = {};
      equal_ = true;
    }
    statistics_.Merge(work.statistics);
    equal_ = equal_ && work.equal;
    if (!work.last) return absl::OkStatus();
    EntryComparison& entry = work.entry;
    if (work.reads && entry.target->kind == EntryKind::kTensor) entry.statistics = statistics_.Summary();
    if (work.reads && entry.difference == EntryDifference::kSameLayout) {
      entry.difference = equal_ ? EntryDifference::kEqual : EntryDifference::kChanged;
      entry.close = !equal_ && entry.statistics && entry.statistics->outside == 0;
    }
    return report_(entry);
  }

  CheckpointReader& base_;
  CheckpointReader& target_;
  const CompareOptions& options_;
  const std::function<absl::Status(const EntryComparison&)>& report_;
  const std::vector<DiffItem> plan_;
  uint64_t done_ = 0, total_ = 0;
  // Of the entry whose windows come in.
  TensorStatistics statistics_;
  bool equal_ = true;
};

}  // namespace

absl::Status CompareCheckpoints(CheckpointReader& base, CheckpointReader& target, const CompareOptions& options,
                                const std::function<absl::Status(const EntryComparison&)>& report) {
  return Comparison(base, target, options, report).Run();
}

absl::string_view DifferenceName(EntryDifference difference) {
  switch (difference) {
    case EntryDifference::kSameLayout:
    case EntryDifference::kEqual:
      return "equal";
    case EntryDifference::kChanged:
      return "changed";
    case EntryDifference::kValueChanged:
      return "value changed";
    case EntryDifference::kAdded:
      return "added";
    case EntryDifference::kRemoved:
      return "removed";
    case EntryDifference::kReshaped:
      return "reshaped";
    case EntryDifference::kRecast:
      return "recast";
  }
  return "unknown";
}

}  // namespace cairn
