#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/format/format.h"
#include "common/io/byte_source.h"

namespace cairn {

// FORMAT.md, "Folder": the names that Hugging Face gives to the files of one checkpoint.
inline constexpr char kSafetensorsIndexName[] = "model.safetensors.index.json";
inline constexpr char kSafetensorsLoneName[] = "model.safetensors";
// "model-00002-of-00007.safetensors"; `shard` counts from 0.
std::string SafetensorsShardName(size_t shard, size_t shards);

// "x.safetensors".
bool IsSafetensorsName(absl::string_view name);
// "model.safetensors.index.json", also with a variant ("model.safetensors.index.fp16.json").
bool IsSafetensorsIndexName(absl::string_view name);
// A file that is carried along with the weights: neither weights (of any framework), nor an index of such,
// nor hidden, nor in a sub-folder.
bool IsAssetName(absl::string_view name);

// Which file holds which tensor.
struct SafetensorsIndex {
  std::vector<std::string> files;                    // In the order of their first mention.
  absl::flat_hash_map<std::string, size_t> weights;  // Tensor -> index into `files`.
};

// True if the source could begin with such an index, by its first bytes alone.
bool LooksLikeSafetensorsIndex(const ByteSource& source);

// Reads an index document. Names of files are as they stand there: the tree that opens them checks them.
absl::StatusOr<SafetensorsIndex> ReadSafetensorsIndex(const ByteSource& source, const ReadLimits& limits);

// The text of an index with metadata.total_size.
std::string SerializeSafetensorsIndex(const SafetensorsIndex& index, uint64_t total_size);

}  // namespace cairn
