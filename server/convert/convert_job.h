#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/byte_budget.h"
#include "common/base/cancellation.h"
#include "common/convert/convert.h"
#include "common/tensor/dtype.h"
#include "server/convert/allowed_roots.h"
#include "server/engine/checkpoint_engine.h"

namespace cairn {

// One end of a conversion: a checkpoint of this daemon, or files below an allowed root.
struct ConvertPlace {
  std::string ref;   // Exactly one of ref and path.
  std::string path;
  std::string format;  // With path: a format's name or one of its variants; empty: by content or name.
};

struct ConvertRequest {
  ConvertPlace source;
  ConvertPlace target;  // Its ref is NAME@STEP.
  std::vector<std::string> select;
  std::optional<Dtype> float_dtype;
  bool weights_only = false;  // Of a train state the parameters, as a tree of their own.
  // Files.
  uint64_t max_shard_bytes = 0;
  std::string separator = ".";
  bool drop_unsupported = false;
  bool overwrite = false;
  // Refs.
  std::string session_key;  // The same key goes on where an interrupted conversion stopped. Empty: a new one.
  std::map<std::string, std::string> metadata;
  std::string created_by;
};

struct ConvertResult {
  ConvertProgress progress;
  std::string source_format;  // Empty for a ref.
  std::string target_format;
  std::optional<CheckpointRow> checkpoint;  // Of a target that is a ref.
};

// Runs one conversion where the storage is. Blocks: for a job thread. Its memory comes out of `budget`.
// Errors name the place at fault; nothing is visible at the target unless it is OK.
absl::StatusOr<ConvertResult> RunConvertJob(CheckpointEngine& engine, const AllowedRoots& roots, ByteBudget& budget,
                                            const ConvertRequest& request, const Cancellation& cancellation,
                                            const std::function<void(const ConvertProgress&)>& report);

}  // namespace cairn
