#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/format/torch/torch_contents.h"
#include "common/io/file_tree.h"

namespace cairn {

// Makes one reader of several: each part's entries stand where they belong in the whole.
class ColossalAiAssembly {
 public:
  // Where an entry goes that stands at that path in its part; nothing: it is left away.
  using Place = absl::FunctionRef<absl::StatusOr<std::optional<KeyPath>>(const KeyPath&)>;

  // `name` is for messages.
  ColossalAiAssembly(std::string name, const ReadLimits& limits);
  ~ColossalAiAssembly();

  // Takes all entries of the part; its assets go below `folder`, which may be empty.
  absl::Status Add(std::unique_ptr<CheckpointReader> part, const std::string& folder, Place place);
  // For parts of which entries are chosen one by one.
  size_t AddPart(std::unique_ptr<CheckpointReader> part);
  absl::Status AddEntry(size_t part, size_t entry, KeyPath path);
  absl::Status AddValue(KeyPath path, Value value);
  // The files of a folder that are carried along: all that are no weights and not in `taken`.
  absl::Status AddAssets(std::shared_ptr<const SourceTree> tree, const std::vector<std::string>& taken, const std::string& folder);

  const std::string& name() const { return name_; }
  const ReadLimits& limits() const { return limits_; }
  TorchBudget* budget() { return &budget_; }  // Of all pickles.
  CheckpointIndex& index() { return index_; }
  CheckpointReader& part(size_t number) { return *parts_[number]; }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Finish() &&;

 private:
  absl::Status Append(Entry entry, size_t part, size_t number);

  const std::string name_;
  const ReadLimits limits_;
  TorchBudget budget_;
  CheckpointIndex index_;
  std::vector<std::unique_ptr<CheckpointReader>> parts_;
  std::vector<std::pair<size_t, size_t>> places_;  // Of each entry: its part, and its number there.
};

// `path` below those segments.
KeyPath Below(const std::vector<std::string>& segments, const KeyPath& path);

}  // namespace cairn
