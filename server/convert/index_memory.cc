#include "server/convert/index_memory.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/allocator_tuning.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

// Most checkpoints have some thousand entries. What is more than that is opened a second or third time, of which only headers
// are read.
constexpr uint64_t kFirst = 8u << 20;
constexpr uint64_t kStep = 8;

ReadLimits LimitsWithin(uint64_t bytes, bool last) {
  ReadLimits limits;
  limits.max_entries = std::min(limits.max_entries, bytes / kEntryMemory);
  limits.max_tree_bytes = std::min(limits.max_tree_bytes, bytes);
  // Of small entries the header is about an eighth; one of a few has long names, long texts or many files.
  if (!last) limits.max_header_bytes = std::min(limits.max_header_bytes, bytes / 4);
  limits.max_value_bytes = std::min(limits.max_value_bytes, limits.max_header_bytes);
  return limits;
}

uint64_t ValueMemory(const Value& value) {
  uint64_t bytes = sizeof(Value) + value.text.size();
  for (const Value& item : value.items) bytes += ValueMemory(item);
  for (const auto& [key, item] : value.pairs) bytes += ValueMemory(key) + ValueMemory(item);
  return bytes;
}

// A limit looks like damage to whoever reads a file.
bool MayBeLimit(const absl::Status& status) { return absl::IsInvalidArgument(status) || absl::IsResourceExhausted(status); }

bool SpeaksOfLimit(absl::string_view message) { return absl::StrContains(message, "limit") || absl::StrContains(message, " more than "); }

}  // namespace

JobMemory& JobMemory::operator=(JobMemory&& other) noexcept {
  if (this != &other) {
    Release();
    reservation_ = std::move(other.reservation_);
    large_ = std::exchange(other.large_, false);
  }
  return *this;
}

void JobMemory::Release() {
  if (std::exchange(large_, false)) ReturnFreeMemory();
  reservation_.Release();
}

uint64_t IndexMemory(const CheckpointIndex& index) {
  uint64_t bytes = kEntryMemory * index.entries.size();
  for (const Entry& entry : index.entries) {
    if (entry.kind == EntryKind::kValue) bytes += ValueMemory(entry.value);
  }
  for (const auto& [key, text] : index.metadata) bytes += key.size() + text.size();
  return bytes;
}

absl::StatusOr<JobMemory> OpenWithinBudget(
    ByteBudget& budget, uint64_t job_bytes, int sources, const Cancellation& cancellation,
    absl::FunctionRef<absl::StatusOr<uint64_t>(const ReadLimits&)> open) {
  const uint64_t most = std::max(budget.limit(), kMostIndexMemory);
  for (uint64_t bytes = std::min(kFirst, most);; bytes = std::min(bytes * kStep, most)) {
    CAIRN_ASSIGN_OR_RETURN(ByteBudget::Reservation reservation, budget.AcquireBlocking(job_bytes + bytes, cancellation));
    JobMemory memory(std::move(reservation), bytes > kFirst);
    const bool last = bytes == most;
    const absl::StatusOr<uint64_t> needed = open(LimitsWithin(bytes / static_cast<uint64_t>(sources), last));
    if (!needed.ok()) {
      if (!MayBeLimit(needed.status())) return needed.status();
      if (!last) continue;
      if (!SpeaksOfLimit(needed.status().message())) return needed.status();
      return absl::Status(needed.status().code(), absl::StrCat(needed.status().message(), " (what a daemon takes depends on its memory_budget of ", budget.limit(),
                                                               " bytes for jobs; `cairn convert` without --server has no such limit)"));
    }
    if (*needed <= bytes) return memory;
    if (last) {
      return absl::ResourceExhaustedError(absl::StrCat("the job takes ", *needed, " bytes of memory beside its windows, expected at most ", most,
                                                       "; give the daemon a larger memory_budget, or do it where the caller is"));
    }
  }
}

}  // namespace cairn
