#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/engine/stored_entry.h"

namespace cairn {

// A run of one shard's bytes that became durable together. The pieces of a shard, over all parts of its writer, in
// order of `start`, give the shard.
struct ShardPiece {
  Entry entry;
  Box box;                      // Tensors.
  uint64_t start = 0;           // Offset of the first extent within the shard's bytes.
  std::vector<Extent> extents;  // Extent::object indexes SessionRecord::objects.
  bool finished = false;        // The writer said that the entry is complete with this piece.
};

// What a save session's part holds: the durable progress that came with one sealed object. Kept by the registry as
// an opaque record until the commit turns all of them into the manifest (MANIFEST.md, section "Session record").
struct SessionRecord {
  std::vector<std::string> objects;  // Keys: the part's own object and those that it shares with others.
  std::vector<Extent> bases;         // Extent::base counts them from 1; one refers to earlier ones alone.
  std::vector<ShardPiece> pieces;    // In the order of the stream.
};

std::string EncodeSessionRecord(const SessionRecord& record);
// DATA_LOSS for anything that EncodeSessionRecord does not write.
absl::StatusOr<SessionRecord> DecodeSessionRecord(absl::string_view bytes);

}  // namespace cairn
