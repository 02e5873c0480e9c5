#include "common/namemap/mapped_plan.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/namemap/common_parent.h"
#include "common/namemap/map_step.h"

namespace cairn {
namespace {

constexpr size_t kNamesInMessage = 20;

bool IsContainerMark(const Entry& entry) {
  return entry.kind == EntryKind::kValue && entry.value->items.empty() && entry.value->pairs.empty() &&
         (entry.value->kind == Value::Kind::kList || entry.value->kind == Value::Kind::kTuple ||
          entry.value->kind == Value::Kind::kDict);
}

void AddConfigSymbols(const Naming& naming, const ConfigDocuments& config, Symbols& symbols) {
  for (const SymbolSource& source : naming.symbols) {
    if (symbols.contains(source.symbol) || !config.Has(source.file)) continue;
    if (!source.when.empty() && config.Integer(source.file, source.when).value_or(0) == 0) continue;
    const std::optional<int64_t> value = source.key.empty() ? source.value : config.Integer(source.file, source.key);
    if (value.has_value()) symbols[source.symbol] = *value;
  }
}

// The tensors of the source under their names; assets go to `assets`.
absl::StatusOr<std::vector<NamedTensor>> NameTensors(const CheckpointIndex& source, const Naming& naming,
                                                     std::vector<size_t>& assets) {
  std::vector<NamedTensor> tensors;
  std::vector<std::string> names, unfit;
  std::vector<size_t> entries;
  const size_t parent = naming.nested ? 0 : CommonParentDepth(source);
  for (size_t i = 0; i < source.entries.size(); ++i) {
    const Entry& entry = source.entries[i];
    if (entry.kind == EntryKind::kAsset) {
      assets.push_back(i);
    } else if (!IsContainerMark(entry)) {
      std::optional<std::string> name = NameOfPath(WithoutParent(entry.path, parent), naming.nested);
      if (entry.kind == EntryKind::kValue || !name.has_value()) {
        unfit.push_back(entry.path.ToString());
        continue;
      }
      names.push_back(*std::move(name));
      entries.push_back(i);
    }
  }
  if (!unfit.empty()) {
    const size_t count = unfit.size();
    unfit.resize(std::min(count, kNamesInMessage));
    return absl::InvalidArgumentError(
        absl::StrCat("expected tensors with the names of ", naming.name,
                     naming.nested ? "" : " (one segment each, below one parent at most)", ", found ", count,
                     count == 1 ? " other entry: \"" : " other entries: \"", absl::StrJoin(unfit, "\", \""), "\"",
                     count > kNamesInMessage ? ", ..." : "", "; leave them out with a selection"));
  }
  const size_t prefix = CommonPrefix(names, naming.prefixes);
  absl::flat_hash_map<KeyPath, size_t> by_path;
  for (const size_t i : entries) by_path.emplace(source.entries[i].path, i);
  for (size_t i = 0; i < entries.size(); ++i) {
    const Entry* entry = &source.entries[entries[i]];
    NamedTensor tensor;
    tensor.name = names[i].substr(prefix);
    size_t origin = entries[i];
    if (entry->kind == EntryKind::kAlias) {
      const auto target = by_path.find(entry->target);
      if (target == by_path.end() || source.entries[target->second].kind != EntryKind::kTensor) {
        return absl::InvalidArgumentError(absl::StrCat("\"", entry->path.ToString(), "\" is another name of \"",
                                                       entry->target.ToString(), "\", which is not there"));
      }
      origin = target->second;
      tensor.alias_of = NameOfPath(WithoutParent(entry->target, parent), naming.nested)->substr(prefix);
    }
    tensor.tensor = VirtualTensor::Whole(origin, source.entries[origin].dtype, source.entries[origin].shape);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

absl::Status AddTarget(const NamedTensor& tensor, bool nested, MappedPlan& plan) {
  const KeyPath path = PathOfName(tensor.name, nested);
  if (!tensor.alias_of.empty()) {
    plan.target.entries.push_back(Entry::Alias(path, PathOfName(tensor.alias_of, nested)));
    plan.origins.emplace_back();
    return absl::OkStatus();
  }
  const Dtype dtype = tensor.tensor.dtype();
  if (BitWidth(dtype) % 8 != 0 && !tensor.tensor.IsWhole()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", tensor.name, "\": elements of ", DtypeName(dtype),
                                                   " are packed, so they can be renamed and not rearranged"));
  }
  CAIRN_ASSIGN_OR_RETURN(const uint64_t bytes, ByteSize(dtype, tensor.tensor.shape()));
  plan.target.entries.push_back(Entry::Tensor(path, dtype, tensor.tensor.shape(), bytes));
  plan.origins.push_back({tensor.tensor, std::nullopt});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MappedPlan> MakeMappedPlan(const CheckpointIndex& source, absl::Span<const MapStep> steps,
                                          const ConfigDocuments& config, const Symbols& given) {
  if (steps.empty()) return absl::InvalidArgumentError("expected a name map, found none");
  MappedPlan plan;
  plan.target.metadata = source.metadata;
  plan.symbols = given;
  AddConfigSymbols(*steps[0].from, config, plan.symbols);
  std::vector<size_t> assets;
  CAIRN_ASSIGN_OR_RETURN(std::vector<NamedTensor> tensors, NameTensors(source, *steps[0].from, assets));
  for (const MapStep& step : steps) {
    CAIRN_ASSIGN_OR_RETURN(StepResult result, ApplyMapStep(step, tensors, plan.symbols));
    tensors = std::move(result.tensors);
    plan.dropped.insert(plan.dropped.end(), result.dropped.begin(), result.dropped.end());
  }
  for (const NamedTensor& tensor : tensors) CAIRN_RETURN_IF_ERROR(AddTarget(tensor, steps.back().to->nested, plan));
  for (const size_t asset : assets) {
    plan.target.entries.push_back(source.entries[asset]);
    plan.origins.push_back({std::nullopt, asset});
  }
  CAIRN_RETURN_IF_ERROR(Annotate(plan.target.Check(), absl::StrCat("names of ", steps.back().to->name)));
  return plan;
}

}  // namespace cairn
