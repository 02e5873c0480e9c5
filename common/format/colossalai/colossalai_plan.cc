#include "common/format/colossalai/colossalai_plan.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/base/utf8.h"
#include "common/format/colossalai/colossalai_names.h"
#include "common/format/colossalai/colossalai_states.h"
#include "common/format/folder/json_events.h"
#include "common/format/folder/weight_index.h"
#include "common/format/safetensors/safetensors_header.h"
#include "common/format/safetensors/safetensors_index.h"
#include "common/format/torch/torch_names.h"
#include "common/format/torch/torch_types.h"

namespace cairn {
namespace {

constexpr size_t kMaxShownProblems = 5;
// ColossalAI's size_per_shard, which it counts in MiB.
constexpr uint64_t kDefaultShardBytes = uint64_t{1024} << 20;

std::string Shown(const KeyPath& path) { return NameForMessage(path.ToString()); }

KeyPath Tail(const KeyPath& path, size_t from) {
  return KeyPath({path.segments().begin() + static_cast<ptrdiff_t>(from), path.segments().end()});
}

bool IsBelow(const KeyPath& path, std::initializer_list<absl::string_view> names) {
  if (path.segments().size() < names.size()) return false;
  size_t at = 0;
  for (const absl::string_view name : names) {
    const auto* const segment = std::get_if<std::string>(&path.segments()[at++]);
    if (segment == nullptr || *segment != name) return false;
  }
  return true;
}

bool IsState(const KeyPath& path) { return IsBelow(path, {kColossalAiOptimizer, kColossalAiState}); }
bool IsGroup(const KeyPath& path) { return IsBelow(path, {kColossalAiOptimizer, kColossalAiGroups}); }
bool IsModel(const KeyPath& path) { return IsBelow(path, {kColossalAiModel}) && path.segments().size() > 1; }
bool IsScheduler(const KeyPath& path) { return IsBelow(path, {kColossalAiScheduler}); }

class Planner {
 public:
  Planner(const CheckpointIndex& index, const SinkTree& tree, const WriteOptions& options, bool safetensors)
      : index_(index), tree_(tree), options_(options), safetensors_(safetensors) {}

  absl::StatusOr<ColossalAiPlan> Plan() {
    CAIRN_RETURN_IF_ERROR(Sort());
    CAIRN_RETURN_IF_ERROR(ChooseLayout());
    CAIRN_RETURN_IF_ERROR(TakeAssets());
    CAIRN_RETURN_IF_ERROR(Report());
    if (has_model_) CAIRN_RETURN_IF_ERROR(PlanModel());
    if (has_optimizer_) CAIRN_RETURN_IF_ERROR(PlanStates());
    if (!scheduler_.empty()) PlanScheduler();
    return std::move(plan_);
  }

 private:
  // What the entries are of.
  absl::Status Sort() {
    const bool any = std::any_of(index_.entries.begin(), index_.entries.end(), [](const Entry& entry) {
      return entry.kind != EntryKind::kAsset && (IsState(entry.path) || IsGroup(entry.path));
    });
    const bool all = std::all_of(index_.entries.begin(), index_.entries.end(), [](const Entry& entry) {
      return entry.kind == EntryKind::kAsset || IsModel(entry.path) || IsScheduler(entry.path);
    });
    const bool entries = std::any_of(index_.entries.begin(), index_.entries.end(),
                                     [](const Entry& entry) { return entry.kind != EntryKind::kAsset; });
    whole_ = any || (all && entries);
    for (size_t i = 0; i < index_.entries.size(); ++i) {
      const Entry& entry = index_.entries[i];
      if (entry.kind == EntryKind::kAsset) {
        assets_.push_back(i);
      } else if (!whole_ || IsModel(entry.path)) {
        TakeModelEntry(i);
      } else if (IsState(entry.path)) {
        if (Fits(entry, safetensors_)) states_.push_back({i, Tail(entry.path, 2)});
        has_optimizer_ = true;
      } else if (IsGroup(entry.path)) {
        if (Fits(entry, false)) groups_.push_back({i, Tail(entry.path, 2)});
        has_optimizer_ = true;
      } else if (IsScheduler(entry.path)) {
        if (Fits(entry, false)) scheduler_.push_back(i);
      } else {
        Complain(entry, "has no place in a checkpoint of ColossalAI, which is model, optimizer and lr_scheduler");
      }
    }
    has_model_ = !whole_ || !model_.empty();
    return absl::OkStatus();
  }

  void TakeModelEntry(size_t number) {
    const Entry& entry = index_.entries[number];
    const KeyPath path = whole_ ? Tail(entry.path, 1) : entry.path;
    if (path.empty()) {
      Complain(entry, "is the root of the tree: expected a name");
    } else if (entry.kind == EntryKind::kValue) {
      Complain(entry, "is a value, and the shards of a model hold tensors");
    } else if (entry.kind == EntryKind::kAlias && safetensors_) {
      Complain(entry, absl::StrCat("is an alias of ", Shown(entry.target), ", which safetensors does not store"));
    } else if (Fits(entry, safetensors_)) {
      model_.push_back(number);
    }
  }

  bool Fits(const Entry& entry, bool safetensors) {
    if (entry.kind != EntryKind::kTensor) return true;
    if (safetensors ? !SafetensorsDtypeName(entry.dtype).empty() : TorchTypeNameOf(entry.dtype).has_value()) return true;
    Complain(entry, absl::StrCat("has dtype ", DtypeName(entry.dtype), ", which ", safetensors ? "safetensors" : "torch", " lacks: ",
                                 IsFloat(entry.dtype) ? "cast it, for example to float32" : "write another format"));
    return false;
  }

  void Complain(const Entry& entry, absl::string_view why) {
    if (++problem_count_ <= kMaxShownProblems) problems_.push_back(absl::StrCat(Shown(entry.path), " ", why));
  }

  absl::Status Report() const {
    if (problem_count_ == 0 || options_.drop_unsupported) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        tree_.name(), ": ", problem_count_, problem_count_ == 1 ? " entry does" : " entries do", " not fit into a checkpoint of ColossalAI: ",
        absl::StrJoin(problems_, "; "), problem_count_ > problems_.size() ? "; ..." : "", ". To leave them out, ask to drop what is unsupported"));
  }

  // A path that is named like one file is meant as one; everything else is the folder that shard=True writes.
  absl::Status ChooseLayout() {
    const bool safetensors_name = absl::EndsWith(tree_.name(), kSafetensorsSuffix);
    const bool file_name = safetensors_name || IsTorchName(tree_.name());
    const bool one_part = has_model_ + has_optimizer_ + !scheduler_.empty() == 1 && scheduler_.empty() && !(whole_ && has_model_);
    lone_ = file_name && one_part && !tree_.is_directory() && options_.max_shard_bytes == 0;
    if (lone_ && safetensors_name != safetensors_) {
      return absl::InvalidArgumentError(absl::StrCat(tree_.name(), ": ColossalAI tells a file by its name: expected one that ends in ",
                                                     safetensors_ ? ".safetensors" : ".bin or .pt", ", or the other variant (colossalai::, colossalai_safetensors::)"));
    }
    folder_ = whole_ && (has_model_ || !scheduler_.empty());
    const std::vector<std::string> existing = tree_.ExistingFiles();
    const ColossalAiPart part = has_model_ ? ColossalAiPart::kModel : ColossalAiPart::kOptimizer;
    for (const std::string& name : existing) {
      if (!ColossalAiIndexPart(name).has_value() || (!folder_ && name == ColossalAiNamesOf(part, safetensors_).index)) continue;
      return absl::InvalidArgumentError(absl::StrCat(tree_.name(), ": holds ", name,
                                                     " already, and ColossalAI loads no folder with two indexes; choose another folder"));
    }
    return absl::OkStatus();
  }

  absl::Status TakeAssets() {
    for (const size_t number : assets_) {
      const Entry& entry = index_.entries[number];
      if (lone_) {
        Complain(entry, "is a file beside the weights, which needs a folder: let the path end in '/'");
        continue;
      }
      std::string name = entry.path.Joined("/");
      const bool ours = !IsAssetName(std::string(name.substr(name.rfind('/') + 1))) || (folder_ && name == kColossalAiScheduler);
      if (ours) return absl::InvalidArgumentError(absl::StrCat(tree_.name(), ": asset ", NameForMessage(name), " has the name of a file of weights"));
      plan_.assets.emplace_back(number, std::move(name));
    }
    return absl::OkStatus();
  }

  uint64_t ShardBytes() const { return options_.max_shard_bytes != 0 ? options_.max_shard_bytes : kDefaultShardBytes; }

  // Names as they are in a state dict.
  absl::Status NameModel() {
    absl::flat_hash_map<absl::string_view, size_t> taken;
    names_.resize(index_.entries.size());
    for (const size_t number : model_) {
      const Entry& entry = index_.entries[number];
      const auto refuse = [&](absl::string_view why) {
        return absl::InvalidArgumentError(absl::StrCat(tree_.name(), ": ", Shown(entry.path), " ", why));
      };
      names_[number] = (whole_ ? Tail(entry.path, 1) : entry.path).Joined(options_.separator);
      if (!IsUtf8(names_[number])) return refuse("has a name that is not UTF-8");
      const auto [other, is_new] = taken.emplace(names_[number], number);
      if (!is_new) {
        return refuse(absl::StrCat("and ", Shown(index_.entries[other->second].path), " are both named ", NameForMessage(names_[number]),
                                   " when joined with \"", options_.separator, "\"; choose another separator"));
      }
    }
    return absl::OkStatus();
  }

  // Greedy, in the order of the index. An alias goes with its tensor, and is the same object there.
  absl::Status PlanModel() {
    CAIRN_RETURN_IF_ERROR(NameModel());
    const ColossalAiNames names = ColossalAiNamesOf(ColossalAiPart::kModel, safetensors_);
    const std::string folder = folder_ ? absl::StrCat(kColossalAiModelFolder, "/") : "";
    std::vector<ColossalAiFile> files(1);
    ColossalAiIndexFile index;
    index.name = folder + names.index;
    uint64_t bytes = 0;
    absl::flat_hash_map<KeyPath, std::pair<size_t, std::string>> placed;  // Tensor -> its file and name.
    for (const size_t number : model_) {
      const Entry& entry = index_.entries[number];
      if (entry.kind != EntryKind::kTensor) continue;
      if (!lone_ && bytes > 0 && entry.byte_size > ShardBytes() - std::min(ShardBytes(), bytes)) {
        files.emplace_back();
        bytes = 0;
      }
      bytes += entry.byte_size;
      index.total_bytes += entry.byte_size;
      placed[entry.path] = {files.size() - 1, names_[number]};
    }
    for (size_t i = 0; i < files.size(); ++i) {
      files[i].name = lone_ ? "" : folder + names.Shard(i);
      files[i].safetensors = safetensors_;
      if (!safetensors_) continue;
      files[i].index.metadata = index_.metadata;
      files[i].index.metadata["format"] = "pt";
    }
    for (const size_t number : model_) {
      Entry entry = index_.entries[number];
      const auto place = placed.find(entry.kind == EntryKind::kAlias ? entry.target : entry.path);
      if (place == placed.end()) {
        if (options_.drop_unsupported) continue;
        return absl::InvalidArgumentError(absl::StrCat(tree_.name(), ": ", Shown(entry.path), " is an alias of ", Shown(entry.target),
                                                       ", which is no tensor of the model"));
      }
      entry.path = KeyPath::Of({names_[number]});
      if (entry.kind == EntryKind::kAlias) entry.target = KeyPath::Of({place->second.second});
      ColossalAiFile& file = files[place->second.first];
      // Names of files within an index are relative to it.
      index.weights.emplace_back(names_[number], file.name.substr(std::min(folder.size(), file.name.size())));
      file.Add(std::move(entry), number);
    }
    std::move(files.begin(), files.end(), std::back_inserter(plan_.files));
    if (!lone_) plan_.indexes.push_back(std::move(index));
    return absl::OkStatus();
  }

  absl::Status PlanStates() {
    const OptimizerLayout layout{.safetensors = safetensors_, .lone = lone_, .max_shard_bytes = ShardBytes()};
    absl::StatusOr<OptimizerPlan> planned = PlanOptimizer(index_, std::move(states_), std::move(groups_), layout);
    if (!planned.ok()) return Annotate(planned.status(), tree_.name());
    const std::string folder = folder_ ? absl::StrCat(kColossalAiOptimizer, "/") : "";
    for (ColossalAiFile& file : planned->files) {
      if (!lone_) file.name = folder + file.name;
      plan_.files.push_back(std::move(file));
    }
    if (lone_) return absl::OkStatus();
    planned->index.name = folder + planned->index.name;
    plan_.indexes.push_back(std::move(planned->index));
    return absl::OkStatus();
  }

  void PlanScheduler() {
    ColossalAiFile& file = plan_.files.emplace_back();
    file.name = kColossalAiScheduler;
    for (const size_t number : scheduler_) {
      Entry entry = index_.entries[number];
      entry.path = Tail(entry.path, 1);
      if (entry.kind == EntryKind::kAlias) entry.target = Tail(entry.target, 1);
      file.Add(std::move(entry), number);
    }
  }

  const CheckpointIndex& index_;
  const SinkTree& tree_;
  const WriteOptions& options_;
  const bool safetensors_;

  bool whole_ = false;   // A tree of parts, not one model.
  bool lone_ = false;    // One file.
  bool folder_ = false;  // Parts have folders of their own.
  bool has_model_ = false;
  bool has_optimizer_ = false;
  std::vector<size_t> assets_, model_, scheduler_;
  std::vector<OptimizerEntry> states_, groups_;
  std::vector<std::string> names_;  // Of the model's tensors, by entry.
  std::vector<std::string> problems_;
  size_t problem_count_ = 0;
  ColossalAiPlan plan_;
};

}  // namespace

absl::StatusOr<ColossalAiPlan> PlanColossalAi(const CheckpointIndex& index, const SinkTree& tree, const WriteOptions& options,
                                              bool safetensors) {
  return Planner(index, tree, options, safetensors).Plan();
}

}  // namespace cairn
