#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/format/torch/torch_expectations.h"
#include "common/io/file_tree.h"

namespace cairn {

// A file of torch.save, or a folder of Hugging Face: shards with an index, or one file of weights; FORMAT.md.
bool DetectTorch(const SourceTree& source);
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenTorch(std::shared_ptr<const SourceTree> source, const ReadLimits& limits);

// A file of a folder that is one of torch.save, by its first bytes.
bool IsTorchFileAt(const SourceTree& tree, const std::string& name);
// That file alone, whatever lies beside it; "": the tree is the file. With kBeside the files beside it that are no weights
// are assets. What is not as it is expected is refused.
enum class TorchAssets { kNone, kBeside };
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenTorchFile(std::shared_ptr<const SourceTree> tree, const std::string& name,
                                                                TorchAssets assets, const ReadLimits& limits,
                                                                const TorchExpectations& expectations = {});

}  // namespace cairn
