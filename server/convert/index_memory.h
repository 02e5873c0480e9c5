#pragma once

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/byte_budget.h"
#include "common/base/cancellation.h"
#include "common/format/format.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// What is known of an entry while it is converted: in the indices of reader, plan and writer, and what a format keeps of it.
// Measured with 200,000 entries: 0.75 to 1.5 KiB, of dcp 2 (docs/performance.md).
inline constexpr uint64_t kEntryMemory = 1024;
// An index may take this much even where its budget is smaller; it then has all of that for itself.
inline constexpr uint64_t kMostIndexMemory = uint64_t{512} << 20;

// Memory that a job takes for a checkpoint with that index.
uint64_t IndexMemory(const CheckpointIndex& index);

// Where jobs take their memory. Both outlive the jobs.
struct JobBudgets {
  ByteBudget& windows;  // Shared with others. Has room for an index of ordinary size, too.
  ByteBudget& indices;  // Of jobs alone: whoever has many entries keeps nobody from saving, however long the job takes.
};

// Memory that a job holds. One that held much gives what the allocator keeps of it back to the system as well: it is to be
// destroyed after all that the job has allocated. Movable.
class JobMemory {
 public:
  JobMemory() = default;
  // `index` may be empty.
  JobMemory(ByteBudget::Reservation windows, ByteBudget::Reservation index) : windows_(std::move(windows)), index_(std::move(index)) {}
  JobMemory(JobMemory&& other) noexcept = default;
  JobMemory& operator=(JobMemory&& other) noexcept;
  ~JobMemory() { Release(); }

  void ShrinkIndexTo(uint64_t bytes) { index_.ShrinkTo(bytes); }

 private:
  void Release();

  ByteBudget::Reservation windows_, index_;
};

// Opens the sources of a job within limits, and closes what is open of them.
class JobSources {
 public:
  virtual ~JobSources() = default;
  virtual int count() const = 0;
  // Gives the memory that the job takes on top of its windows.
  virtual absl::StatusOr<uint64_t> Open(const ReadLimits& limits) = 0;
  virtual void Close() = 0;
};

// Takes memory for a job: `window_bytes`, and what the indices of its sources need, which nobody knows before they are open. So
// they are opened within little memory, and if that does not do, again within more, until it does. Nobody waits for memory with
// sources open, nor for indices with windows in hand, so jobs do not wait for each other. Blocks.
//
// What Open says; RESOURCE_EXHAUSTED for a job that takes more than the budget of indices and kMostIndexMemory. CANCELLED.
absl::StatusOr<JobMemory> OpenWithinBudget(const JobBudgets& budgets, uint64_t window_bytes, const Cancellation& cancellation, JobSources& sources);

}  // namespace cairn
