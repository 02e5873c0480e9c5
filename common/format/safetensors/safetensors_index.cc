#include "common/format/safetensors/safetensors_index.h"

#include "absl/strings/match.h"

namespace cairn {

std::string SafetensorsShardName(size_t shard, size_t shards) {
  return ShardName("model", shard, shards, kSafetensorsSuffix);
}

bool IsSafetensorsName(absl::string_view name) {
  return absl::EndsWith(name, kSafetensorsSuffix) && !absl::StartsWith(name, ".");
}

bool IsSafetensorsIndexName(absl::string_view name) { return IsWeightIndexName(name, kSafetensorsSuffix); }

bool LooksLikeSafetensorsIndex(const ByteSource& source) { return LooksLikeWeightIndex(source, kSafetensorsSuffix); }

}  // namespace cairn
