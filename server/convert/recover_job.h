#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/cancellation.h"
#include "common/convert/convert.h"
#include "server/convert/allowed_roots.h"
#include "server/convert/index_memory.h"
#include "server/convert/places.h"
#include "server/engine/checkpoint_engine.h"

namespace cairn {

struct RecoverRequest {
  ConvertPlace base;
  ConvertPlace diff;
  OutputRequest output;
  bool arithmetic = false;           // `diff` is a checkpoint of differences, which are added to the base.
  std::optional<Dtype> float_dtype;  // Float tensors are cast to it. Nothing: as they are.
};

struct RecoverResult {
  ConvertProgress progress;
  std::string target_digest;  // Exact: the hex content digest that was verified. Empty if elements were cast.
  std::optional<CheckpointRow> checkpoint;  // Of an output that is a ref.
};

// Makes a checkpoint from a base and a diff, where the storage is. Blocks: for a job thread. Its memory comes out of
// `budgets`. Nothing is visible at the output unless it is OK. FAILED_PRECONDITION for another base than the diff needs,
// DATA_LOSS for a damaged diff.
absl::StatusOr<RecoverResult> RunRecoverJob(CheckpointEngine& engine, const AllowedRoots& roots, const JobBudgets& budgets,
                                            const RecoverRequest& request, const Cancellation& cancellation,
                                            const std::function<void(const ConvertProgress&)>& report);

}  // namespace cairn
