#include "common/recipe/recipe.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/convert/path_prefix.h"
#include "common/convert/weights_plan.h"
#include "common/namemap/renames.h"

namespace cairn {
namespace {

constexpr size_t kNamesInMessage = 5;

absl::Status StripPrefix(ConvertPlan& plan, const std::string& text) {
  CAIRN_ASSIGN_OR_RETURN(const PathPrefix prefix, PathPrefix::Parse(text));
  bool any = false;
  CAIRN_RETURN_IF_ERROR(Annotate(RenameTarget(plan,
                                              [&](const KeyPath& path) -> absl::StatusOr<KeyPath> {
                                                std::optional<KeyPath> rest = prefix.TakeFrom(path);
                                                any |= rest.has_value();
                                                return rest.has_value() ? *std::move(rest) : path;
                                              }),
                                 "strip prefix"));
  if (any) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("strip prefix: no entry begins with \"", text, "\"",
                                                 plan.target.entries.empty() ? "" : "; the first is \"",
                                                 plan.target.entries.empty() ? "" : plan.target.entries[0].path.ToString(),
                                                 plan.target.entries.empty() ? "" : "\""));
}

absl::Status Rename(ConvertPlan& plan, const MapLibrary::File& file) {
  CAIRN_ASSIGN_OR_RETURN(const Renames renames, Renames::Parse(file.text, file.name));
  std::vector<bool> used(renames.size());
  CAIRN_RETURN_IF_ERROR(Annotate(
      RenameTarget(plan,
                   [&](const KeyPath& path) -> absl::StatusOr<KeyPath> {
                     const std::optional<Renames::Renamed> renamed = renames.Find(path.ToString());
                     if (!renamed.has_value()) return path;
                     used[renamed->rule] = true;
                     absl::StatusOr<KeyPath> parsed = KeyPath::Parse(renamed->name);
                     if (!parsed.ok()) return Annotate(parsed.status(), absl::StrCat("\"", path.ToString(), "\" to \"", renamed->name, "\""));
                     return parsed;
                   }),
      file.name));
  std::vector<std::string> unused;
  for (size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) unused.push_back(renames.old_name(i));
  }
  if (unused.empty()) return absl::OkStatus();
  const size_t count = unused.size();
  unused.resize(std::min(count, kNamesInMessage));
  return absl::InvalidArgumentError(absl::StrCat(file.name, ": no entry is named \"", absl::StrJoin(unused, "\", \""), "\"",
                                                 count > kNamesInMessage ? ", ..." : ""));
}

// A pattern that leaves nothing out is almost always a typing error.
absl::Status CheckExcluded(const CheckpointIndex& source, const std::vector<std::string>& exclude) {
  if (exclude.empty()) return absl::OkStatus();
  CAIRN_ASSIGN_OR_RETURN(const Selection excluded, Selection::Parse(exclude));
  std::vector<const KeyPath*> paths;
  for (const Entry& entry : source.entries) paths.push_back(&entry.path);
  const std::vector<std::string> unmatched = excluded.Unmatched(paths);
  if (unmatched.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("exclude: no entry matches \"", absl::StrJoin(unmatched, "\", \""), "\"",
                                                 paths.empty() ? "" : absl::StrCat("; the first entry is \"", paths[0]->ToString(), "\"")));
}

absl::Status AddPrefix(ConvertPlan& plan, const std::string& text) {
  CAIRN_ASSIGN_OR_RETURN(const PathPrefix prefix, PathPrefix::Parse(text));
  return RenameTarget(plan, [&](const KeyPath& path) { return prefix.AddTo(path); });
}

}  // namespace

absl::StatusOr<Selection> RecipeRequest::Selected() const {
  CAIRN_RETURN_IF_ERROR(Annotate(Selection::Parse(select).status(), "select"));
  std::vector<std::string> patterns = select;
  for (const std::string& pattern : exclude) {
    // "!!x" would be a pattern of its own.
    if (absl::StartsWith(pattern, "!")) {
      return absl::InvalidArgumentError(absl::StrCat("exclude: expected a pattern without \"!\", found \"", pattern, "\""));
    }
    patterns.push_back(absl::StrCat("!", pattern));
  }
  absl::StatusOr<Selection> selection = Selection::Parse(patterns);
  if (!selection.ok()) return Annotate(selection.status(), "exclude");
  return selection;
}

absl::Status RecipeRequest::Check() const {
  CAIRN_RETURN_IF_ERROR(Selected().status());
  CAIRN_RETURN_IF_ERROR(Annotate(KeyPath::Parse(root).status(), "root"));
  CAIRN_RETURN_IF_ERROR(PathPrefix::Parse(strip_prefix).status());
  CAIRN_RETURN_IF_ERROR(PathPrefix::Parse(prefix).status());
  if (renames.has_value()) CAIRN_RETURN_IF_ERROR(Renames::Parse(renames->text, renames->name).status());
  if (map.has_value() && map->map.empty()) return absl::InvalidArgumentError("map: expected FROM:TO, TO or a file of maps");
  return absl::OkStatus();
}

std::string RecipeRequest::Identity() const {
  std::string identity;
  // Each part with its length, so that no two requests run into the same text.
  const auto add = [&](absl::string_view name, absl::string_view part) {
    if (!part.empty()) absl::StrAppend(&identity, name, part.size(), ":", part, ";");
  };
  for (const std::string& pattern : exclude) add("exclude", pattern);
  add("root", root);
  add("weights", weights_only ? "only" : "");
  add("strip", strip_prefix);
  add("prefix", prefix);
  if (renames.has_value()) add("renames", renames->text);
  if (!map.has_value()) return identity;
  add("map", map->map);
  for (const auto* files : {&map->files, &map->configs}) {
    for (const MapLibrary::File& file : *files) {
      add("file", file.name);
      add("text", file.text);
    }
  }
  for (const auto& [symbol, number] : map->given) add("given", absl::StrCat(symbol, "=", number));
  return identity;
}

std::string RecipeRequest::WholeIdentity() const {
  std::string identity;
  for (const std::string& pattern : select) absl::StrAppend(&identity, "select", pattern.size(), ":", pattern, ";");
  return absl::StrCat(identity, "dtype ", float_dtype.has_value() ? DtypeName(*float_dtype) : "keep", ";", Identity());
}

absl::StatusOr<ConvertPlan> Recipe::Choose(const RecipeRequest& request, std::optional<Dtype> float_dtype) {
  PlanOptions options;
  options.float_dtype = float_dtype;
  CAIRN_ASSIGN_OR_RETURN(options.select, request.Selected());
  CAIRN_RETURN_IF_ERROR(CheckExcluded(source_.index(), request.exclude));
  CAIRN_ASSIGN_OR_RETURN(options.root, KeyPath::Parse(request.root));
  ConvertPlan plan;
  if (request.weights_only) {
    options.marks = request.weight_marks;
    CAIRN_ASSIGN_OR_RETURN(WeightsPlan weights, MakeWeightsPlan(source_.index(), std::move(options)));
    weights_ = std::move(weights.place);
    plan = std::move(weights.plan);
  } else {
    CAIRN_ASSIGN_OR_RETURN(plan, MakeConvertPlan(source_.index(), options));
  }
  if (!request.strip_prefix.empty()) CAIRN_RETURN_IF_ERROR(StripPrefix(plan, request.strip_prefix));
  if (request.renames.has_value()) CAIRN_RETURN_IF_ERROR(Rename(plan, *request.renames));
  return plan;
}

absl::StatusOr<std::unique_ptr<Recipe>> Recipe::Create(CheckpointReader& source, const SourceTree* beside,
                                                       const RecipeRequest& request) {
  CAIRN_RETURN_IF_ERROR(request.Check());
  std::unique_ptr<Recipe> recipe(new Recipe(source));
  if (request.map.has_value()) {
    CAIRN_ASSIGN_OR_RETURN(recipe->chosen_, recipe->Choose(request, std::nullopt));
    recipe->chosen_reader_.emplace(source, recipe->chosen_);
    CAIRN_ASSIGN_OR_RETURN(recipe->mapping_, Mapping::Create(*recipe->chosen_reader_, beside, *request.map));
    CAIRN_ASSIGN_OR_RETURN(recipe->plan_,
                           MakeConvertPlan(recipe->mapping_->reader().index(), {.float_dtype = request.float_dtype}));
  } else {
    CAIRN_ASSIGN_OR_RETURN(recipe->plan_, recipe->Choose(request, request.float_dtype));
  }
  if (!request.prefix.empty()) CAIRN_RETURN_IF_ERROR(AddPrefix(recipe->plan_, request.prefix));
  return recipe;
}

}  // namespace cairn
