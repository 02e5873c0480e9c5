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
#include "client/cli/map_options.h"
#include "common/format/checkpoint_file.h"
#include "common/convert/convert.h"
#include "common/format/all_formats.h"
#include "common/recipe/recipe.h"
#include "nlohmann/json.hpp"

namespace CLI {
class App;
}

namespace cairn::cli {

// What push, pull and convert take in common: which entries, and as which dtype.
struct SourceOptions {
  std::string dtype;
  std::vector<std::string> select;
  std::vector<std::string> exclude;
  std::string root;
  bool weights_only = false;
  bool keep_optimizer = false;
  bool strict = false;
  std::string strip_prefix;
  std::string rename;  // A file.
  std::string prefix;
  MapOptions map;
};
void AddSourceOptions(CLI::App& command, SourceOptions& options, const std::string& dtype_help);

// What pull and convert take in common: how files are written.
struct TargetOptions {
  std::string format;
  std::string max_shard_size;
  uint32_t parts = 0;
  std::string separator = ".";
  bool drop_unsupported = false;
  bool assets_beside = false;
  bool overwrite = false;
  bool resume = false;
};
void AddTargetOptions(CLI::App& command, TargetOptions& options);

using cairn::TargetFile;
// As cairn::ResolveTarget; what does not fit together is USAGE.
absl::StatusOr<TargetFile> ResolveTarget(const std::string& destination, const TargetOptions& options);

// What the target has to say of interrupted runs goes to stderr; and with --resume, what tells an interrupted run of the same
// conversion from any other. `source`: what tells its state.
void SetResume(CommandContext& context, const TargetOptions& options, const RecipeRequest& request, const std::string& source, TargetFile& target);

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

// What the options ask for; files that they name are read. USAGE for what is wrong whatever the source is.
absl::StatusOr<RecipeRequest> MakeRecipeRequest(const SourceOptions& options, std::optional<Dtype> float_dtype);
// Recipe::Create, for a source that was read from `beside` (null: from no file). Says on stderr what was found and left out.
absl::StatusOr<std::unique_ptr<Recipe>> MakeRecipe(CommandContext& context, CheckpointReader& source, const SourceTree* beside,
                                                   const RecipeRequest& request);
// Of what a report in JSON tells of it.
void DescribeRecipe(const Recipe& recipe, nlohmann::json& report);

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
