#pragma once

#include <cstdint>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/base/byte_budget.h"
#include "common/base/cancellation.h"
#include "common/format/format.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// What is known of an entry while it is converted: in the indices of reader, plan and writer, and what a format keeps of it.
// Measured with 200,000 entries: 0.75 to 1.5 KiB, of dcp 2 (docs/performance.md).
inline constexpr uint64_t kEntryMemory = 1024;
// An index may take this much even where the budget is smaller; it then has all of the budget for itself.
inline constexpr uint64_t kMostIndexMemory = uint64_t{512} << 20;

// Memory that a job takes for a checkpoint with that index.
uint64_t IndexMemory(const CheckpointIndex& index);

// Memory of the budget that a job holds. One that held much gives what the allocator keeps of it back to the system as well:
// it is to be destroyed after all that the job has allocated. Movable.
class JobMemory {
 public:
  JobMemory() = default;
  explicit JobMemory(ByteBudget::Reservation reservation, bool large = false) : reservation_(std::move(reservation)), large_(large) {}
  JobMemory(JobMemory&& other) noexcept : reservation_(std::move(other.reservation_)), large_(std::exchange(other.large_, false)) {}
  JobMemory& operator=(JobMemory&& other) noexcept;
  ~JobMemory() { Release(); }

 private:
  void Release();

  ByteBudget::Reservation reservation_;
  bool large_ = false;
};

// Takes memory for a job: `job_bytes`, and what the indices of its sources need, which nobody knows before they are open. So
// `open` is called within little memory, and if that does not do, again within more, until it does: it opens `sources`
// checkpoints within the limits (what an earlier call has opened goes first) and gives the memory that the job takes on top of
// `job_bytes`. Nobody waits for memory with some in hand, so jobs do not wait for each other. Blocks.
//
// What `open` says; RESOURCE_EXHAUSTED for a job that takes more than the budget and kMostIndexMemory. CANCELLED.
absl::StatusOr<JobMemory> OpenWithinBudget(
    ByteBudget& budget, uint64_t job_bytes, int sources, const Cancellation& cancellation,
    absl::FunctionRef<absl::StatusOr<uint64_t>(const ReadLimits&)> open);

}  // namespace cairn
