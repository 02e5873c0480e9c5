#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "common/format/folder/weight_index.h"
#include "common/io/byte_source.h"

namespace cairn {

// FORMAT.md, "Folder": the names that Hugging Face gives to the files of one checkpoint.
inline constexpr char kSafetensorsSuffix[] = ".safetensors";
inline constexpr char kSafetensorsIndexName[] = "model.safetensors.index.json";
inline constexpr char kSafetensorsLoneName[] = "model.safetensors";
// "model-00002-of-00007.safetensors"; `shard` counts from 0.
std::string SafetensorsShardName(size_t shard, size_t shards);

// "x.safetensors".
bool IsSafetensorsName(absl::string_view name);
// "model.safetensors.index.json", also with a variant ("model.safetensors.index.fp16.json").
bool IsSafetensorsIndexName(absl::string_view name);

// True if the source could begin with such an index, by its first bytes alone.
bool LooksLikeSafetensorsIndex(const ByteSource& source);

}  // namespace cairn
