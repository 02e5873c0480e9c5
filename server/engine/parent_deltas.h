#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/buffer.h"
#include "server/engine/open_checkpoint.h"
#include "server/engine/parent_extents.h"
#include "server/registry/registry.h"
#include "server/store/object_store.h"

namespace cairn {

// How one extent of a save is to be stored, seen from the parent.
struct DeltaChoice {
  enum class How {
    kAsItIs,   // The parent is of no help.
    kShared,   // The same bytes as `base`: nothing is stored.
    kEncoded,  // `encoded`, against `base` if that is not null.
  };
  How how = How::kAsItIs;
  const Extent* base = nullptr;  // Of the parent's manifest.
  std::string encoded;
};

// What a save stores as the difference to its parent. Keeps the parent pinned; what a choice refers to is claimed for
// the session, so that it outlives the parent. One thread at a time; calls block on disk and registry.
class ParentDeltas {
 public:
  // `max_chain`, 1 or more: of deltas that must be applied one after the other to read an extent. `store` and `registry`
  // outlive the object. `notice`: as PartOptions has it.
  ParentDeltas(ObjectStore& store, Registry& registry, std::string session_id,
               std::shared_ptr<const OpenCheckpoint> parent, uint32_t max_chain, std::function<void(absl::string_view)> notice);

  const Manifest& manifest() const { return *parent_->manifest; }
  ParentExtents& extents() { return extents_; }

  // What to compare an extent with of which the parent has `there`: that, or what its chain stands on if it is as long as
  // it may be. Null for null.
  const Extent* BaseFor(const Extent* there, const Digest& digest) const;

  // Makes the session an owner of everything that these are made of. Those of which that is not to be had become null.
  absl::Status Claim(std::vector<const Extent*>& bases);

  // `base`, claimed, has as many bytes, or is null. `unit`: as DeltaUnit gives it. Small extents stay as they are: a
  // reference costs as much.
  absl::StatusOr<DeltaChoice> Choose(const std::vector<Buffer>& bytes, uint32_t size, size_t unit, const Extent* base);

 private:
  absl::StatusOr<std::optional<Buffer>> ReadBase(const Extent& base);

  ObjectStore& store_;
  Registry& registry_;
  const std::string session_id_;
  const std::shared_ptr<const OpenCheckpoint> parent_;
  const uint32_t max_chain_;
  std::function<void(absl::string_view)> notice_;  // Empty once it was told.
  ParentExtents extents_;
  absl::flat_hash_map<uint32_t, bool> claimed_;  // By number of the object; false: it was not to be had.
};

}  // namespace cairn
