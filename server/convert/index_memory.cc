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
  return limits;
}

uint64_t ValueMemory(const Value& value) {
  uint64_t bytes = sizeof(Value) + value.text.size();
  for (const Value& item : value.items) bytes += ValueMemory(item);
  for (const auto& [key, item] : value.pairs) bytes += ValueMemory(key) + ValueMemory(item);
  return bytes;
}

// To whoever reads a file a limit is mostly damage; the words tell.
bool MayBeLimit(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) return true;
  return absl::IsInvalidArgument(status) && (absl::StrContains(status.message(), "limit") || absl::StrContains(status.message(), " more than "));
}

absl::Status WithHint(const absl::Status& status) {
  absl::Status hinted(status.code(), absl::StrCat(status.message(), "; if that is for want of memory, give the daemon a larger memory_budget, or run the command on "
                                                                    "files without \"server::\""));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { hinted.SetPayload(url, payload); });
  return hinted;
}

}  // namespace

JobMemory& JobMemory::operator=(JobMemory&& other) noexcept {
  if (this != &other) {
    Release();
    windows_ = std::move(other.windows_);
    index_ = std::move(other.index_);
  }
  return *this;
}

void JobMemory::Release() {
  if (index_.bytes() > 0) ReturnFreeMemory();
  index_.Release();
  windows_.Release();
}

uint64_t IndexMemory(const CheckpointIndex& index) {
  uint64_t bytes = kEntryMemory * index.entries.size();
  for (const Entry& entry : index.entries) {
    if (entry.kind == EntryKind::kValue) bytes += ValueMemory(entry.value);
  }
  for (const auto& [key, text] : index.metadata) bytes += key.size() + text.size();
  return bytes;
}

absl::StatusOr<JobMemory> OpenWithinBudget(const JobBudgets& budgets, uint64_t window_bytes, const Cancellation& cancellation, JobSources& sources) {
  const uint64_t most = std::max(budgets.indices.limit(), kMostIndexMemory);
  for (uint64_t bytes = kFirst;; bytes = std::min(bytes * kStep, most)) {
    const bool first = bytes == kFirst, last = bytes == most;
    ByteBudget::Reservation index;
    if (!first) {
      CAIRN_ASSIGN_OR_RETURN(index, budgets.indices.AcquireBlocking(bytes, cancellation));
    }
    CAIRN_ASSIGN_OR_RETURN(ByteBudget::Reservation windows, budgets.windows.AcquireBlocking(window_bytes + (first ? kFirst : 0), cancellation));
    JobMemory memory(std::move(windows), std::move(index));
    // What two take together is looked at when both are open.
    const absl::StatusOr<uint64_t> needed = sources.Open(LimitsWithin(last ? bytes : bytes / static_cast<uint64_t>(sources.count()), last));
    if (needed.ok() && *needed <= bytes) {
      memory.ShrinkIndexTo(std::max<uint64_t>(*needed, 1));
      return memory;
    }
    sources.Close();
    if (!needed.ok() && !MayBeLimit(needed.status())) return needed.status();
    if (!last) continue;
    if (!needed.ok()) return WithHint(needed.status());
    return WithHint(absl::ResourceExhaustedError(
        absl::StrCat("the job takes ", *needed, " bytes of memory beside its windows, over the limit of ", most)));
  }
}

}  // namespace cairn
