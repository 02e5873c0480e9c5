#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/convert/convert_plan.h"
#include "common/convert/planned_reader.h"
#include "common/convert/weights.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"
#include "common/namemap/mapping.h"

namespace cairn {

// What of a source is wanted, and as what. The parts apply in the order in which they stand here.
struct RecipeRequest {
  std::vector<std::string> select;   // Patterns of Selection, over the source's paths.
  std::vector<std::string> exclude;  // More of them, for what to leave out; each must match something.
  std::string root;                 // Shown path: only what lies below it, as a tree of its own.
  bool weights_only = false;        // Only the weights of the model, wherever they are (weights.h).
  bool weight_marks = true;         // PlanOptions::marks, with weights_only: tensors are all that is wanted then.
  std::string strip_prefix;         // Text in front of shown paths ("model.", "params/"): goes where it is.
  std::optional<MapLibrary::File> renames;  // Of the user's (renames.h).
  std::optional<MappingRequest> map;        // Names and layout of another family.
  std::string prefix;                       // Text to be in front of all paths.
  std::optional<Dtype> float_dtype;         // As PlanOptions::float_dtype.

  // `select` and `exclude` as one. INVALID_ARGUMENT for patterns that do not parse.
  absl::StatusOr<Selection> Selected() const;
  // What can be said to be wrong without a source. INVALID_ARGUMENT.
  absl::Status Check() const;
  // Differs where two requests that select alike and cast alike do not come to the same. Empty for a plain one.
  std::string Identity() const;
  // The same with selection and cast.
  std::string WholeIdentity() const;
};

// A source as a request wants it: readers and plans one after the other, to be run with RunConvert, or read through
// PlannedReader.
class Recipe {
 public:
  // `beside`: the file or folder that the source was read from, for configuration files that a map needs; may be null.
  // `source` must outlive the recipe. INVALID_ARGUMENT, with the entries, for what does not fit.
  static absl::StatusOr<std::unique_ptr<Recipe>> Create(CheckpointReader& source, const SourceTree* beside,
                                                        const RecipeRequest& request);

  // What the plan reads from, and the plan.
  CheckpointReader& reader() { return mapping_ != nullptr ? mapping_->reader() : source_; }
  const ConvertPlan& plan() const { return plan_; }

  // Entries of the source that are wanted, as steps of a plan over the source itself.
  const ConvertPlan& chosen() const { return mapping_ != nullptr ? chosen_ : plan_; }
  const Mapping* mapping() const { return mapping_.get(); }               // Null: none was asked for.
  const std::optional<WeightsPlace>& weights() const { return weights_; }  // With weights_only.

 private:
  explicit Recipe(CheckpointReader& source) : source_(source) {}

  absl::StatusOr<ConvertPlan> Choose(const RecipeRequest& request, std::optional<Dtype> float_dtype);

  CheckpointReader& source_;
  std::optional<WeightsPlace> weights_;
  ConvertPlan chosen_;  // With a map: what it is given.
  std::optional<PlannedReader> chosen_reader_;
  std::unique_ptr<Mapping> mapping_;
  ConvertPlan plan_;
};

}  // namespace cairn
