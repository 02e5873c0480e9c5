#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/engine/stored_entry.h"

namespace cairn {

// The description of a checkpoint whole: its entries, their shards, where the bytes are and what their digests are.
// An immutable object in the store; MANIFEST.md beside this file gives every byte.
struct Manifest {
  std::map<std::string, std::string> metadata;
  std::vector<std::string> objects;   // Keys, indexed by Extent::object.
  std::vector<Extent> bases;          // Extent::base counts them from 1; one refers to earlier ones alone.
  std::vector<StoredEntry> entries;   // In the order of the save.

  // Bytes of memory that this manifest takes, roughly; for caches.
  uint64_t MemoryBytes() const;
};

std::string EncodeManifest(const Manifest& manifest);

// DATA_LOSS for anything but an intact manifest; FAILED_PRECONDITION for one of a newer version.
absl::StatusOr<Manifest> DecodeManifest(absl::string_view bytes);

}  // namespace cairn
