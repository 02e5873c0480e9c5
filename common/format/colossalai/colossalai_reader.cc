#include "common/format/colossalai/colossalai_reader.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/annotate.h"
#include "common/base/status_macros.h"
#include "common/format/colossalai/colossalai_assembly.h"
#include "common/format/colossalai/colossalai_named.h"
#include "common/format/colossalai/colossalai_names.h"
#include "common/format/colossalai/colossalai_optimizer.h"
#include "common/format/folder/json_events.h"
#include "common/format/folder/one_file_tree.h"
#include "common/format/folder/weight_index.h"
#include "common/format/safetensors/safetensors_header.h"
#include "common/format/safetensors/safetensors_index.h"
#include "common/format/safetensors/safetensors_reader.h"
#include "common/format/torch/torch_file.h"
#include "common/format/torch/torch_names.h"
#include "common/format/torch/torch_reader.h"

namespace cairn {
namespace {

using Tree = std::shared_ptr<const SourceTree>;

absl::StatusOr<std::vector<std::string>> IndexesIn(const SourceTree& tree) {
  CAIRN_ASSIGN_OR_RETURN(std::vector<std::string> names, tree.List());
  std::erase_if(names, [](const std::string& name) { return !ColossalAiIndexPart(name).has_value(); });
  return names;
}

bool HasFolder(const SourceTree& tree, const std::string& name) { return tree.OpenFolder(name).ok(); }

bool HasColossalAiIndex(const SourceTree& tree) {
  const absl::StatusOr<std::vector<std::string>> indexes = IndexesIn(tree);
  if (!indexes.ok()) return false;
  return std::any_of(indexes->begin(), indexes->end(), [&](const std::string& name) {
    if (ColossalAiIndexPart(name) == ColossalAiPart::kOptimizer) return true;
    const absl::StatusOr<std::unique_ptr<ByteSource>> file = tree.Open(name);
    return file.ok() && LooksLikeColossalAiIndex(**file);
  });
}

// Shards of a save that pipeline stages never completed.
bool IsUnfinished(const SourceTree& tree) {
  if (!HasFolder(tree, kColossalAiUnfinished)) return false;
  const absl::StatusOr<std::vector<std::string>> names = tree.List();
  return names.ok() && std::any_of(names->begin(), names->end(), [](const std::string& name) { return ParseColossalAiShardName(name).has_value(); });
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenWeights(Tree tree, bool safetensors, const ReadLimits& limits) {
  return safetensors ? OpenSafetensors(std::move(tree), limits) : OpenTorch(std::move(tree), limits);
}

bool IsSafetensorsFile(const SourceTree& file) {
  const absl::StatusOr<std::unique_ptr<ByteSource>> source = file.Open("");
  return source.ok() && LooksLikeSafetensors(**source);
}

class Opening {
 public:
  Opening(const std::string& name, bool named, const ReadLimits& limits) : assembly_(name, limits), limits_(limits), named_(named) {}

  // A path to one file.
  absl::Status AddLoneFile(Tree source) {
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, source->Open(""));
    if (LooksLikeWeightIndex(*file, kSafetensorsSuffix) || LooksLikeWeightIndex(*file, kTorchShardSuffix) || LooksLikeColossalAiIndex(*file)) {
      CAIRN_ASSIGN_OR_RETURN(Tree folder, source->OpenParent());
      return AddIndexed(std::move(folder), *file, source, "", {});
    }
    if (LooksLikeColossalAiStates(*file)) return AddOptimizerFile(std::move(source), &assembly_);
    if (LooksLikeTorchFile(*file)) {
      CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointReader> reader, OpenTorch(source, limits_));
      const auto& entries = reader->index().entries;
      const bool optimizer = std::any_of(entries.begin(), entries.end(), [](const Entry& entry) {
        return entry.path == KeyPath::Of({kColossalAiGroups}) && entry.value->kind == Value::Kind::kList;
      });
      if (optimizer) return AddOptimizerFile(std::move(source), &assembly_);
    }
    return AddModelFile(std::move(source), "");
  }

  absl::Status AddFolder(const Tree& tree) {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> indexes, IndexesIn(*tree));
    if (!indexes.empty()) return AddIndexedFolder(tree, indexes, "", "");
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> names, tree->List());
    const auto found = [&](std::initializer_list<const char*> candidates) {
      std::vector<std::string> there;
      for (const char* const name : candidates) {
        if (std::count(names.begin(), names.end(), name) != 0 || HasFolder(*tree, name)) there.push_back(name);
      }
      return there;
    };
    const std::vector<std::string> optimizers = found({"optimizer", "optimizer.bin", "optimizer.pt", "optimizer.pth", "optimizer.safetensors"});
    const std::vector<std::string> schedulers = found({"lr_scheduler", "lr_scheduler.bin", "lr_scheduler.pt", "lr_scheduler.pth"});
    std::vector<std::string> models = found({"modeling", "model", "model.bin", "model.pt", "model.pth"});
    const bool booster = !optimizers.empty() || !schedulers.empty() || !models.empty();
    if (!booster) return AddModelFolder(tree, "", "");
    for (const char* const name : {kSafetensorsLoneName, kTorchLoneName}) {
      if (std::count(names.begin(), names.end(), name) != 0) models.push_back(name);
    }
    for (const auto& several : {models, optimizers, schedulers}) {
      if (several.size() > 1) {
        return absl::InvalidArgumentError(absl::StrCat(tree->name(), ": holds ", absl::StrJoin(several, " and "),
                                                       ", which are one part of a checkpoint twice; give the path of the one that is meant"));
      }
    }
    std::vector<std::string> taken;
    if (!models.empty()) {
      taken.push_back(models.front());
      CAIRN_RETURN_IF_ERROR(AddModel(tree, models.front()));
    }
    if (!optimizers.empty()) {
      taken.push_back(optimizers.front());
      CAIRN_RETURN_IF_ERROR(AddOptimizer(tree, optimizers.front()));
    }
    if (!schedulers.empty()) {
      taken.push_back(schedulers.front());
      CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointReader> scheduler, OpenTorch(FileOfTree(tree, schedulers.front()), limits_));
      CAIRN_RETURN_IF_ERROR(assembly_.Add(std::move(scheduler), "", [](const KeyPath& path) {
        return std::optional<KeyPath>(Below({kColossalAiScheduler}, path));
      }));
    }
    return assembly_.AddAssets(tree, taken, "");
  }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Finish() {
    if (named_) CAIRN_RETURN_IF_ERROR(NameOptimizerStates(order_, assembly_.name(), &assembly_.index()));
    return std::move(assembly_).Finish();
  }

 private:
  absl::Status AddModel(const Tree& tree, const std::string& name) {
    absl::StatusOr<std::unique_ptr<SourceTree>> folder = tree->OpenFolder(name);
    if (folder.ok()) return AddModelFolder(*std::move(folder), kColossalAiModel, kColossalAiModelFolder);
    return AddModelFile(FileOfTree(tree, name), kColossalAiModel);
  }

  absl::Status AddOptimizer(const Tree& tree, const std::string& name) {
    absl::StatusOr<std::unique_ptr<SourceTree>> opened = tree->OpenFolder(name);
    if (!opened.ok()) return AddOptimizerFile(FileOfTree(tree, name), &assembly_);
    const Tree folder = *std::move(opened);
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> indexes, IndexesIn(*folder));
    if (indexes.empty()) return NothingThere(*folder, "an index of an optimizer's shards (pytorch_optim.bin.index.json)");
    return AddIndexedFolder(folder, indexes, "", name);
  }

  // With ColossalAI's precedence: an index, model.safetensors, pytorch_model.bin.
  absl::Status AddModelFolder(const Tree& folder, const std::string& root, const std::string& asset_folder) {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> indexes, IndexesIn(*folder));
    if (!indexes.empty()) return AddIndexedFolder(folder, indexes, root, asset_folder);
    CAIRN_ASSIGN_OR_RETURN(const std::vector<std::string> names, folder->List());
    for (const char* const name : {kSafetensorsLoneName, kTorchLoneName}) {
      if (std::count(names.begin(), names.end(), name) == 0) continue;
      CAIRN_RETURN_IF_ERROR(AddModelFile(FileOfTree(folder, name), root));
      return assembly_.AddAssets(folder, {name}, asset_folder);
    }
    return NothingThere(*folder, "an index of shards, model.safetensors or pytorch_model.bin");
  }

  static absl::Status NothingThere(const SourceTree& folder, absl::string_view expected) {
    return absl::InvalidArgumentError(absl::StrCat(
        folder.name(), ": expected ", expected,
        HasFolder(folder, kColossalAiUnfinished)
            ? absl::StrCat("; found ", kColossalAiUnfinished, "/, the indexes of pipeline stages: the save was interrupted and is not complete")
            : ""));
  }

  absl::Status AddModelFile(Tree file, const std::string& root) {
    const bool safetensors = IsSafetensorsFile(*file);
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointReader> model, OpenWeights(file, safetensors, limits_));
    for (const Entry& entry : model->index().entries) order_.names.push_back(entry.path);
    if (safetensors) order_.unknown = absl::StrCat(file->name(), " has the model's tensors by dtype and name, not in their order");
    return AddModelPart(std::move(model), root, "");
  }

  absl::Status AddModelPart(std::unique_ptr<CheckpointReader> model, const std::string& root, const std::string& asset_folder) {
    return assembly_.Add(std::move(model), asset_folder, [&](const KeyPath& path) {
      return std::optional<KeyPath>(root.empty() ? path : Below({root}, path));
    });
  }

  absl::Status AddIndexedFolder(const Tree& folder, const std::vector<std::string>& indexes, const std::string& root,
                                const std::string& asset_folder) {
    if (indexes.size() > 1) {
      return absl::InvalidArgumentError(absl::StrCat(folder->name(), ": holds ", indexes.size(), " indexes (", absl::StrJoin(indexes, ", "),
                                                     "), and ColossalAI loads no folder with more than one; give the path of the index that is meant"));
    }
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, folder->Open(indexes.front()));
    return AddIndexed(folder, *file, folder, root, asset_folder);
  }

  // `weights` is what the readers of models are given: the index, or the folder of which it is the only one.
  absl::Status AddIndexed(const Tree& folder, const ByteSource& file, const Tree& weights, const std::string& root,
                          const std::string& asset_folder) {
    CAIRN_ASSIGN_OR_RETURN(WeightIndex index, ReadWeightIndex(file, limits_));
    for (const std::string& name : index.files) {
      if (!IsColossalAiDtensorName(name)) continue;
      return absl::InvalidArgumentError(absl::StrCat(file.name(), ": holds ", NameForMessage(name),
                                                     ", a tensor in the pieces of its ranks, which ColossalAI does not load either; save with gather_dtensor=True"));
    }
    if (HasFolder(*folder, kColossalAiUnfinished)) {
      assembly_.index().left_out.push_back({KeyPath::Of({kColossalAiUnfinished}),
                                            "indexes of pipeline stages, left by a save that was interrupted: shards may be of two saves"});
    }
    const auto is_states = [](const std::string& name) {
      const std::optional<ColossalAiShardName> shard = ParseColossalAiShardName(name);
      return shard.has_value() && shard->part == ColossalAiPart::kOptimizer;
    };
    if (index.texts.contains(kColossalAiGroups) || std::any_of(index.files.begin(), index.files.end(), is_states)) {
      return Annotate(AddOptimizerShards(folder, index, &assembly_), file.name());
    }
    TakeOrder(index);
    const bool safetensors =
        index.files.empty() ? absl::StrContains(file.name(), kSafetensorsSuffix) : absl::EndsWith(index.files.front(), kSafetensorsSuffix);
    index = {};  // Who opens the weights reads it again.
    CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<CheckpointReader> model, OpenWeights(weights, safetensors, limits_));
    return AddModelPart(std::move(model), root, asset_folder);
  }

  // The index has its tensors in their order, but the stages of a pipeline in none.
  void TakeOrder(const WeightIndex& index) {
    std::vector<const std::string*> order;
    for (const std::string& name : index.order) order.push_back(&name);
    const auto file = [&](const std::string* name) -> const std::string& { return index.files[index.weights.at(*name)]; };
    std::stable_sort(order.begin(), order.end(), [&](const auto* a, const auto* b) { return file(a) < file(b); });
    for (const std::string* name : order) order_.names.push_back(KeyPath::Of({*name}));
    for (const std::string& name : index.files) {
      const std::optional<ColossalAiShardName> shard = ParseColossalAiShardName(name);
      if (shard.has_value() && shard->experts) order_.unknown = "experts are saved apart from the other parameters, which hides their order";
    }
  }

  ColossalAiAssembly assembly_;
  const ReadLimits limits_;
  const bool named_;
  ModelOrder order_;
};

}  // namespace

bool DetectColossalAi(const SourceTree& source) {
  if (!source.is_directory()) {
    const absl::StatusOr<std::unique_ptr<ByteSource>> file = source.Open("");
    return file.ok() && (LooksLikeColossalAiIndex(**file) || LooksLikeColossalAiStates(**file));
  }
  if (HasColossalAiIndex(source) || IsUnfinished(source)) return true;
  for (const char* const name : {kColossalAiModelFolder, kColossalAiModel, kColossalAiOptimizer}) {
    const absl::StatusOr<std::unique_ptr<SourceTree>> folder = source.OpenFolder(name);
    if (folder.ok() && (HasColossalAiIndex(**folder) || IsUnfinished(**folder))) return true;
  }
  return false;
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenColossalAi(std::shared_ptr<const SourceTree> source, bool named,
                                                                 const ReadLimits& limits) {
  Opening opening(source->name(), named, limits);
  CAIRN_RETURN_IF_ERROR(source->is_directory() ? opening.AddFolder(source) : opening.AddLoneFile(source));
  return opening.Finish();
}

}  // namespace cairn
