#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"

namespace cairn {

// Folders of Hugging Face: shards of weights, an index that says which of them holds what, and files beside them.

// Which file holds which tensor.
struct WeightIndex {
  std::vector<std::string> files;                    // In the order of their first mention.
  absl::flat_hash_map<std::string, size_t> weights;  // Tensor -> index into `files`.
  std::vector<std::string> order;                    // The tensors, as the document has them. Only reading fills it,
  std::map<std::string, std::string> texts;          // and this: members of "metadata" that are strings.
};

// "model-00002-of-00007.safetensors"; `shard` counts from 0. `suffix` begins with its dot, here and below.
std::string ShardName(absl::string_view stem, size_t shard, size_t shards, absl::string_view suffix);
// "model.safetensors.index.json", also with a variant ("model.safetensors.index.fp16.json").
bool IsWeightIndexName(absl::string_view name, absl::string_view suffix);
// A file that is carried along with the weights: neither weights (of any framework), nor an index of such,
// nor hidden, nor in a sub-folder.
bool IsAssetName(absl::string_view name);

// True if the source could begin with an index of files with that suffix, by its first bytes alone.
bool LooksLikeWeightIndex(const ByteSource& source, absl::string_view suffix);

// Reads an index document. Names of files are as they stand there: the tree that opens them checks them.
absl::StatusOr<WeightIndex> ReadWeightIndex(const ByteSource& source, const ReadLimits& limits);

// The text of an index with metadata.total_size.
std::string SerializeWeightIndex(const WeightIndex& index, uint64_t total_size);

}  // namespace cairn
