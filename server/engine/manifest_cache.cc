#include "server/engine/manifest_cache.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/error_info.h"
#include "common/base/status_macros.h"

namespace cairn {

absl::StatusOr<std::shared_ptr<const Manifest>> ManifestCache::Load(const CheckpointRow& row) {
  {
    absl::MutexLock lock(&mu_);
    const auto found = index_.find(row.uid);
    if (found != index_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second);
      return recent_.front().manifest;
    }
  }
  const std::string what = absl::StrCat("manifest of ", row.name, "@", row.step);
  absl::StatusOr<std::string> bytes = GetObject(store_, row.manifest_key, row.manifest_bytes);
  if (absl::IsNotFound(bytes.status())) {
    return WithErrorInfo(absl::DataLossError(absl::StrCat(what, ": object ", row.manifest_key, " is gone")),
                         {"MANIFEST_MISSING", {{"object", row.manifest_key}}});
  }
  if (!bytes.ok()) return Annotate(bytes.status(), what);
  if (bytes->size() != row.manifest_bytes || DigestOf(*bytes, DigestAlgorithm::kSha256) != row.manifest_digest) {
    return WithErrorInfo(absl::DataLossError(absl::StrCat(what, ": object ", row.manifest_key,
                                                          " is not what the registry says: digest ",
                                                          DigestOf(*bytes, DigestAlgorithm::kSha256).ToHex(), ", expected ",
                                                          row.manifest_digest.ToHex())),
                         {"MANIFEST_DAMAGED", {{"object", row.manifest_key}}});
  }
  absl::StatusOr<Manifest> decoded = DecodeManifest(*bytes);
  if (!decoded.ok()) return Annotate(decoded.status(), what);
  auto manifest = std::make_shared<const Manifest>(*std::move(decoded));
  const uint64_t memory = manifest->MemoryBytes();

  absl::MutexLock lock(&mu_);
  if (index_.contains(row.uid)) return manifest;
  recent_.push_front({row.uid, manifest, memory});
  index_[row.uid] = recent_.begin();
  held_bytes_ += memory;
  while (held_bytes_ > max_bytes_ && recent_.size() > 1) {
    held_bytes_ -= recent_.back().bytes;
    index_.erase(recent_.back().uid);
    recent_.pop_back();
  }
  return manifest;
}

}  // namespace cairn
