#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "common/tensor/checkpoint_index.h"
#include "common/tensor/selection.h"

namespace cairn {

struct PlanOptions {
  Selection select = {};  // Over the source's paths, whatever `root` is.
  // Only what lies below this path becomes the target, without that prefix ("params/params" of a train
  // state). Assets have no place in the tree and stay. Empty: the whole tree.
  KeyPath root = {};
  // Only these entries of the source, by number, ascending; and assets. Nothing: all. An alias among them whose target is
  // none of them becomes a tensor of its own.
  std::optional<std::vector<size_t>> only = {};
  // Take the marks of lists and tuples along. Without them these are trees like others: for a target that holds no values.
  bool marks = true;
  // Dtype of every float tensor of the target; nothing: keep. Integers, Booleans and complex numbers are
  // never cast.
  std::optional<Dtype> float_dtype = {};
};

// Which bytes of the source become what of the target. Pure data: easy to test and to print.
struct ConvertPlan {
  struct Step {
    size_t source_entry = 0;
    Dtype from = Dtype::kInvalid;  // Equal to `to`: bytes are copied as they are.
    Dtype to = Dtype::kInvalid;
  };
  CheckpointIndex target;
  std::vector<Step> steps;  // One per target entry, in its order.
};

// INVALID_ARGUMENT for patterns that match nothing, a root with nothing below it, an alias whose target is
// left out, or a float dtype that cannot be cast to. The mark of a list or tuple (value.h) goes when some of
// its children are left out: what remains is no such list any more.
absl::StatusOr<ConvertPlan> MakeConvertPlan(const CheckpointIndex& source, const PlanOptions& options);

// Gives entries of the target other paths; assets keep theirs, aliases follow. INVALID_ARGUMENT, with both, if two entries
// come to the same path or one becomes the parent of another.
absl::Status RenameTarget(ConvertPlan& plan, absl::FunctionRef<absl::StatusOr<KeyPath>(const KeyPath&)> new_path);

}  // namespace cairn
