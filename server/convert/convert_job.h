#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/cancellation.h"
#include "common/convert/convert.h"
#include "common/recipe/recipe.h"
#include "server/convert/allowed_roots.h"
#include "server/convert/index_memory.h"
#include "server/convert/places.h"
#include "server/engine/checkpoint_engine.h"

namespace cairn {

struct ConvertRequest {
  ConvertPlace source;
  ConvertPlace target;  // Its ref is NAME@STEP.
  RecipeRequest recipe;
  bool strict = false;  // Refuse a source with objects that cannot be carried.
  // Files.
  uint64_t max_shard_bytes = 0;
  std::string separator = ".";
  bool drop_unsupported = false;
  bool overwrite = false;
  uint32_t parts = 0;
  // Of files on this machine. Keep what is written if the conversion is interrupted, and go on from what the same one has left.
  bool resume = false;
  bool assets_beside = false;
  // Of a ref, the same key goes on where an interrupted conversion stopped; empty: a new one. Of files, it has the answer of
  // the same conversion, if that came to its end a short while ago and what it wrote is still there.
  std::string session_key;
  // Refs.
  std::map<std::string, std::string> metadata;
  std::string created_by;
};

struct ConvertResult {
  ConvertProgress progress;
  std::string source_format;  // Empty for a ref.
  std::string target_format;
  std::optional<CheckpointRow> checkpoint;  // Of a target that is a ref.
  std::string weights;                      // With weights_only: where they were.
  std::string map;                          // With a map: the way that was taken,
  std::vector<std::string> map_dropped;     // and what it leaves out.
  std::vector<std::string> left_out;        // What the source holds and nothing can carry, in words.
  std::vector<std::string> notes;           // What else there is to say: why nothing was resumed.
};

class FinishedConversions;

// Runs one conversion where the storage is. Blocks: for a job thread. Its memory comes out of `budgets`.
// Errors name the place at fault; nothing is visible at the target unless it is OK. `finished` may be null.
absl::StatusOr<ConvertResult> RunConvertJob(CheckpointEngine& engine, const AllowedRoots& roots, const JobBudgets& budgets,
                                            const ConvertRequest& request, const Cancellation& cancellation,
                                            const std::function<void(const ConvertProgress&)>& report,
                                            FinishedConversions* finished = nullptr);

}  // namespace cairn
