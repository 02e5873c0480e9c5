#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/command_set.h"
#include "common/format/checkpoint_file.h"
#include "common/convert/convert.h"
#include "common/convert/convert_plan.h"
#include "common/format/all_formats.h"

namespace CLI {
class App;
}

namespace cairn::cli {

// What push, pull and convert take in common: which entries, and as which dtype.
struct SourceOptions {
  std::string dtype;
  std::vector<std::string> select;
  bool no_optimizer = false;
  bool keep_optimizer = false;
  bool strict = false;
};
void AddSourceOptions(CLI::App& command, SourceOptions& options, const std::string& dtype_help);

// What pull and convert take in common: how files are written.
struct TargetOptions {
  std::string format;
  std::string max_shard_size;
  std::string separator = ".";
  bool drop_unsupported = false;
  bool overwrite = false;
};
void AddTargetOptions(CLI::App& command, TargetOptions& options);

using cairn::TargetFile;
// As cairn::ResolveTarget; what does not fit together is USAGE.
absl::StatusOr<TargetFile> ResolveTarget(const std::string& destination, const TargetOptions& options);

// "keep" or nothing: no cast. USAGE for what is no float dtype.
absl::StatusOr<std::optional<Dtype>> ParseDtypeOption(const std::string& text);
// The same with EasyLM's default: its files hold bfloat16 unless --dtype says otherwise.
absl::StatusOr<std::optional<Dtype>> DtypeForTarget(const std::string& text, const Format& target);
// Says so on stderr, if the default changes any tensor.
void NoteDefaultCast(CommandContext& context, const SourceOptions& options, int64_t casts);

// USAGE for --keep-optimizer with a source whose prefix leaves the optimizer out.
absl::Status CheckOptimizerOptions(const SourceOptions& options, const FileSpec& source);

// Says on stderr what the source holds and no entry can; with --strict that is INVALID_ARGUMENT.
absl::Status ReportLeftOut(CommandContext& context, const SourceOptions& options, const CheckpointIndex& source);

// USAGE for bad patterns; INVALID_ARGUMENT for --no-optimizer without a train state.
absl::StatusOr<PlanOptions> MakePlanOptions(const SourceOptions& options, std::optional<Dtype> float_dtype,
                                            const CheckpointIndex& source);

struct TransferResult {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t bytes_skipped = 0;
  absl::Duration elapsed;
};
// Runs the plan with a progress display, until done or interrupted.
absl::StatusOr<TransferResult> RunTransfer(CommandContext& context, const std::string& label,
                                           CheckpointReader& reader, const ConvertPlan& plan,
                                           CheckpointWriter& writer, bool may_drop);

// "291 entries, 12.6 GiB in 0:11".
std::string Describe(const TransferResult& result);

}  // namespace cairn::cli
