#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// The prefix "llama2::" says that embeddings are cut by columns, as Llama 1 and 2 have them.
inline constexpr char kLlama2Variant[] = "llama2";

bool DetectLlama(const SourceTree& source);
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenLlama(std::shared_ptr<const SourceTree> source, const ReadOptions& options);

}  // namespace cairn
