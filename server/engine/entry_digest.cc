#include "server/engine/entry_digest.h"

#include "common/base/digest.h"

namespace cairn {

std::string EntryDigest(const StoredEntry& entry) {
  if (entry.shards.empty()) return "";
  Digester digester(DigestAlgorithm::kSha256);
  for (const StoredShard& shard : entry.shards) {
    digester.Update(shard.box.ToString());
    for (const Extent& extent : shard.extents) digester.Update(extent.digest.AsBytes());
  }
  return digester.Finish().ToHex();
}

}  // namespace cairn
