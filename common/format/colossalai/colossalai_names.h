#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "common/io/byte_source.h"
#include "common/tensor/key_path.h"

namespace cairn {

// Names of files and of entries; FORMAT.md has the tables.

enum class ColossalAiPart { kModel, kOptimizer };

// The parts in the tree of a whole checkpoint.
inline constexpr char kColossalAiModel[] = "model";
inline constexpr char kColossalAiOptimizer[] = "optimizer";
inline constexpr char kColossalAiScheduler[] = "lr_scheduler";
inline constexpr char kColossalAiState[] = "state";
inline constexpr char kColossalAiGroups[] = "param_groups";
// The folder of the model in that of a checkpoint.
inline constexpr char kColossalAiModelFolder[] = "modeling";
// Where pipeline stages leave their indexes until the save is complete.
inline constexpr char kColossalAiUnfinished[] = "tmp_index_files";
// Metadata of a safetensors file of optimizer states: the tensors that are pickles.
inline constexpr char kColossalAiPickled[] = "non_tensor_keys";

// A shard by its name: "pytorch_model-00001.bin", "model.ema-stage-00002-shard-00001.safetensors". Nothing for other
// names, those of Hugging Face ("-of-") among them.
struct ColossalAiShardName {
  ColossalAiPart part = ColossalAiPart::kModel;
  bool experts = false;  // One of several sets of experts of a stage.
};
std::optional<ColossalAiShardName> ParseColossalAiShardName(absl::string_view name);

// "pytorch_optim.bin.index.json", also with a prefix ("model.safetensors.index.ema.json"). Nothing for other names.
std::optional<ColossalAiPart> ColossalAiIndexPart(absl::string_view name);

// The pieces of a tensor of which every rank has one: "dtensor/linear.weight.*..bin".
bool IsColossalAiDtensorName(absl::string_view name);

// True if the source could begin with an index of such shards, by its first bytes alone.
bool LooksLikeColossalAiIndex(const ByteSource& source);
// True for a safetensors file of optimizer states in the layout of asynchronous saves, by its first bytes alone.
bool LooksLikeColossalAiStates(const ByteSource& source);

// How we name files.
struct ColossalAiNames {
  std::string stem, suffix, index, group;
  std::string Shard(size_t number) const;  // Counts from 0.
};
ColossalAiNames ColossalAiNamesOf(ColossalAiPart part, bool safetensors);

// The id of a parameter as a key: 7, or "7". Nothing for other keys.
std::optional<int64_t> ColossalAiParameterId(const KeyPath::Segment& segment);

}  // namespace cairn
