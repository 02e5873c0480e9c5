#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli/checkpoint_target.h"
#include "client/cli/command_set.h"
#include "client/cli/diff_source.h"
#include "client/cli/exit_code.h"
#include "client/cli/local_file.h"
#include "client/cli/transfer.h"
#include "common/base/status_macros.h"
#include "common/convert/planned_reader.h"
#include "common/format/checkpoint_file.h"
#include "common/seed/seed_reader.h"
#include "common/tensor/ref.h"
#include "nlohmann/json.hpp"

namespace cairn::cli {
namespace {

struct Options {
  std::string spec;
  std::string destination;
  uint64_t seed = 0;
  std::string init;
  std::vector<std::string> rules;
  std::string dtype;
  MapOptions map;
  TargetOptions to;
};

struct Model {
  SeedSpec spec;
  std::string text;
  bool is_config = false;
};

absl::StatusOr<Model> ReadModel(const Options& options) {
  std::string path = options.spec;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) path = (std::filesystem::path(path) / "config.json").string();
  CAIRN_ASSIGN_OR_RETURN(MapLibrary::File file, ReadOptionFile("SPEC", path));
  Model model;
  model.is_config = absl::EndsWith(path, ".json");
  if (!model.is_config && !options.init.empty()) {
    return UsageError("--init: is for a config.json; a YAML file has rules of its own");
  }
  CAIRN_ASSIGN_OR_RETURN(model.spec, model.is_config
                                         ? SeedSpec::OfConfig(file.text, path, options.init.empty() ? "hf" : options.init)
                                         : SeedSpec::Parse(file.text, path));
  model.text = std::move(file.text);
  return model;
}

// A ref without a step means step 0, where it can be told from a file.
absl::StatusOr<std::string> Destination(const std::string& text) {
  const std::optional<client::ConvertPlace> place = DaemonPlace(text);
  if (!place.has_value()) return text;
  if (place->ref.empty()) return UsageError(absl::StrCat("\"", text, "\": expected a file here, NAME@STEP or ref::NAME[@STEP]"));
  absl::StatusOr<Ref> ref = Ref::Parse(place->ref);
  if (!ref.ok()) return UsageError(ref.status().message());
  if (!absl::StrContains(place->ref, '@')) ref->step = 0;
  return ref->ToString();
}

// Casting is not needed, but for the formats that hold one float type alone.
absl::StatusOr<Dtype> ChooseDtype(const Options& options, const SeedSpec& spec, const std::string& destination) {
  CAIRN_ASSIGN_OR_RETURN(const std::optional<Dtype> asked, ParseDtypeOption(options.dtype));
  if (asked.has_value()) return *asked;
  if (options.dtype.empty() && !IsRefTarget(destination)) {
    CAIRN_ASSIGN_OR_RETURN(const TargetFile file, ResolveTarget(destination, options.to));
    if (const std::optional<Dtype> only = DefaultFloatDtype(*file.format); only.has_value()) return *only;
  }
  return spec.dtype.value_or(Dtype::kFloat32);
}

absl::Status Run(CommandContext& context, const Options& options) {
  TargetRequest request;
  request.verb = "seed";
  request.to = options.to;
  CAIRN_ASSIGN_OR_RETURN(request.destination, Destination(options.destination));
  CAIRN_RETURN_IF_ERROR(CheckTarget(request));
  std::vector<SeedRule> rules;
  for (const std::string& text : options.rules) {
    absl::StatusOr<SeedRule> rule = SeedRule::Parse(text);
    if (!rule.ok()) return UsageError(absl::StrCat("--rule: ", rule.status().message()));
    rules.push_back(*std::move(rule));
  }
  RecipeRequest recipe_request;
  CAIRN_ASSIGN_OR_RETURN(recipe_request.map, MakeMappingRequest(options.map));

  CAIRN_ASSIGN_OR_RETURN(const Model model, ReadModel(options));
  CAIRN_ASSIGN_OR_RETURN(const std::vector<SeedTensor> tensors, ExpandSeedSpec(model.spec, rules));
  SeedReaderOptions how;
  how.seed = options.seed;
  CAIRN_ASSIGN_OR_RETURN(how.dtype, ChooseDtype(options, model.spec, request.destination));
  if (model.is_config) how.assets.emplace_back("config.json", model.text);
  const std::string dtype(DtypeName(how.dtype));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<SeedReader> reader, SeedReader::Create(tensors, std::move(how)));
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Recipe> recipe, MakeRecipe(context, *reader, nullptr, recipe_request));
  PlannedReader source(recipe->reader(), recipe->plan());

  request.identity = absl::StrCat(options.seed, "\n", dtype, "\n", options.init, "\n", absl::StrJoin(options.rules, "\n"), "\n",
                                  recipe_request.Identity(), "\n", model.text);
  CAIRN_ASSIGN_OR_RETURN(const WrittenTarget written, WriteTarget(context, request, source));
  if (context.console.json()) {
    nlohmann::json report = TargetToJson(written);
    report["seed"] = options.seed;
    report["dtype"] = dtype;
    report["tensors"] = tensors.size();
    DescribeRecipe(*recipe, report);
    context.console.PrintJson(report);
  } else {
    context.console.PrintLine(TargetLine(written));
  }
  return absl::OkStatus();
}

}  // namespace

void AddSeedCommand(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "seed", "Make the checkpoint that a training begins with, from a model's configuration.",
      {"cairn seed config.json team/run@0 --seed 42", "cairn seed config.json model/ --dtype bf16",
       "cairn seed config.json dcp::step-0 --map hf-llama:torchtitan --init torchtitan",
       "cairn seed config.json model/ --rule '*.down_proj.weight=normal(std=0.02, depth=model)'",
       "cairn seed model.yaml params::streaming_params"},
      [options](CommandContext& context) { return Run(context, *options); });
  command->add_option("SPEC", options->spec,
                      "Hugging Face's config.json (llama, mistral, qwen2, qwen3) or its folder; or a YAML file of tensors and rules")
      ->required();
  command->add_option("DST", options->destination,
                      "What to write: PATH or PREFIX::PATH, or NAME@STEP; ref::NAME is step 0")->required();
  command->add_option("--seed", options->seed, "The same seed and SPEC give the same numbers, always and everywhere [0]")
      ->type_name("N");
  command->add_option("--init", options->init, "Rules for a config.json: hf or torchtitan [hf]")
      ->check(CLI::IsMember(SeedSpec::InitSchemes()));
  command
      ->add_option("--rule", options->rules,
                   "How tensors of these names begin ('*' is any characters), before all other rules: '*.bias=zeros'; may be repeated")
      ->type_name("PATTERN=RULE")
      ->allow_extra_args(false);
  command->add_option("--dtype", options->dtype, "Float type of all tensors; keep is that of SPEC [bf16 if the target is easylm, else that of SPEC, else float32]")
      ->type_name("D|keep");
  AddMapOptions(*command, options->map);
  AddTargetOptions(*command, options->to);
}

}  // namespace cairn::cli
