#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// One file that a checkpoint is written to, with an index of its own.
struct ColossalAiFile {
  static constexpr size_t kOwnBytes = SIZE_MAX;

  std::string name;  // "" for a tree that is one file.
  bool safetensors = false;
  CheckpointIndex index;
  std::vector<size_t> sources;     // Of each entry of `index`: that of the checkpoint, or kOwnBytes.
  std::vector<std::string> bytes;  // Of each with kOwnBytes; empty for others.

  void Add(Entry entry, size_t source) {
    index.entries.push_back(std::move(entry));
    sources.push_back(source);
    bytes.emplace_back();
  }
  void AddBytes(Entry entry, std::string content) {
    Add(std::move(entry), kOwnBytes);
    bytes.back() = std::move(content);
  }
};

// An index document.
struct ColossalAiIndexFile {
  std::string name;
  std::string group;  // The file of parameter groups, for an optimizer.
  uint64_t total_bytes = 0;
  std::vector<std::pair<std::string, std::string>> weights;  // Key -> file, in order.
};
std::string SerializeColossalAiIndex(const ColossalAiIndexFile& index);

struct ColossalAiPlan {
  std::vector<std::pair<size_t, std::string>> assets;  // Entry -> name.
  std::vector<ColossalAiFile> files;
  std::vector<ColossalAiIndexFile> indexes;
};

// Which files a checkpoint becomes; FORMAT.md, "Writing". INVALID_ARGUMENT, naming entries, for what has no place.
absl::StatusOr<ColossalAiPlan> PlanColossalAi(const CheckpointIndex& index, const SinkTree& tree, const WriteOptions& options,
                                              bool safetensors);

}  // namespace cairn
