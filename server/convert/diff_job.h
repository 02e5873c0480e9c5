#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/cancellation.h"
#include "common/diff/compare.h"
#include "server/convert/allowed_roots.h"
#include "server/convert/index_memory.h"
#include "server/convert/places.h"
#include "server/engine/checkpoint_engine.h"

namespace cairn {

enum class DiffMode {
  kReport,      // How the entries differ.
  kExact,       // Writes what turns the base into the target, bit for bit.
  kArithmetic,  // Writes target - base as a checkpoint.
};

struct DiffRequest {
  ConvertPlace base;
  ConvertPlace target;
  std::vector<std::string> select;
  DiffMode mode = DiffMode::kReport;
  Tolerance tolerance;                // Reports.
  OutputRequest output;               // Diffs.
  std::optional<Dtype> float_dtype;   // Arithmetic diffs.
  std::string scratch_folder;         // Where an exact diff lies, without a name, on its way into a ref.
};

struct DiffResult {
  uint64_t bytes = 0;  // That were read, or known not to differ.
  uint64_t target_bytes = 0;  // Exact diffs.
  uint64_t diff_bytes = 0;
  std::string base_digest;    // Hex content digests.
  std::string target_digest;
  uint64_t elements = 0;   // Arithmetic diffs: how many, and how many of them would not come back.
  uint64_t inexact = 0;
  std::optional<CheckpointRow> checkpoint;  // Of an output that is a ref.
};

struct DiffCallbacks {
  std::function<absl::Status(const EntryComparison&)> entry;  // Reports. An error ends the job.
  std::function<void(uint64_t bytes_done, uint64_t bytes_total)> progress;
};

// Compares two checkpoints, or writes their difference, where the storage is. Blocks: for a job thread. Its memory comes
// out of `budgets`. Equal entries of two refs that were saved alike are not read. Nothing is visible at the output unless
// it is OK.
absl::StatusOr<DiffResult> RunDiffJob(CheckpointEngine& engine, const AllowedRoots& roots, const JobBudgets& budgets,
                                      const DiffRequest& request, const Cancellation& cancellation, const DiffCallbacks& callbacks);

}  // namespace cairn
