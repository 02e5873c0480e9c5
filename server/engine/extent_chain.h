#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/engine/manifest.h"
#include "server/store/object_store.h"

namespace cairn {

// An extent and the key of its object. Owns what it names, so that a thread may read it after the manifest is gone.
struct ChainLink {
  std::string object_key;
  Extent extent;
};

// What an extent's bytes are made of: the extent itself, what it is a delta against, and so on. One link for an extent
// that needs no base. `extent` is one of `manifest`, or of its bases.
std::vector<ChainLink> ChainOf(const Manifest& manifest, const Extent& extent);

// The extent that it is a delta against; null for one that needs no base.
const Extent* BaseOf(const Manifest& manifest, const Extent& extent);
// How many deltas lie above the extent at its bottom.
uint32_t ChainDepth(const Manifest& manifest, const Extent& extent);

enum class ChainCheck {
  kNone,       // The caller compares the digest of what comes out.
  kEachLink,  // That of every link on the way too, to find which of them is damaged.
};
// Fills `target` with the bytes of the first link, from the last one upwards. `target` has the length that all of them
// have. Besides it, holds as much again and the largest delta. DATA_LOSS that names object and position of a link that
// is not what was written.
absl::Status ReadChain(ObjectStore& store, absl::Span<const ChainLink> links, ChainCheck check, absl::Span<char> target);

// DATA_LOSS for stored bytes that are not what was written there.
absl::Status DamagedExtent(absl::string_view object_key, const Extent& extent, absl::string_view how);
// The same for a digest that was found in place of the extent's own.
absl::Status WrongDigest(absl::string_view object_key, const Extent& extent, const Digest& found);

}  // namespace cairn
