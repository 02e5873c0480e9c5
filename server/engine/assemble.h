#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/engine/manifest.h"
#include "server/engine/session_record.h"

namespace cairn {

// How far one shard (or other entry) of one writer has come.
struct ShardProgress {
  Entry entry;
  Box box;
  uint64_t durable_bytes = 0;
  uint64_t total_bytes = 0;
  bool finished = false;
};

// Collects the records of a session, writer by writer, and turns them into a manifest. Pure: no store, no registry.
//
//   for each writer, ascending: for each of its parts, in order: Add(writer, record);  then Finish()
class ManifestAssembler {
 public:
  // DATA_LOSS for pieces that contradict each other; ABORTED where two streams sent different bytes for the same
  // part of a shard.
  absl::Status Add(uint32_t writer, SessionRecord record);

  // The shards seen so far, in the order in which they were first declared.
  std::vector<std::pair<uint32_t, ShardProgress>> Progress() const;

  // The manifest, or FAILED_PRECONDITION that names the first entry and box that is not there exactly once: a shard
  // that is not finished (reason SHARD_UNFINISHED), a hole (TENSOR_HOLE), an overlap (TENSOR_OVERLAP), entries that
  // contradict each other (ENTRY_CONFLICT), an alias without target (ALIAS_DANGLING). Leaves this object empty.
  absl::StatusOr<Manifest> Finish(std::map<std::string, std::string> metadata);

 private:
  struct Shard {
    uint32_t writer;
    Entry entry;
    Box box;
    uint64_t total_bytes;
    uint64_t durable_bytes = 0;
    std::vector<Extent> extents;  // Extent::object indexes objects_.
    bool finished = false;
  };

  // What the numbers of one record are here.
  struct Numbers {
    std::vector<uint32_t> objects;
    std::vector<uint32_t> bases{0};  // From 1, as Extent::base counts.
  };

  uint32_t ObjectIndex(const std::string& key);
  uint32_t BaseIndex(const Extent& base);
  static void Renumber(const Numbers& numbers, Extent& extent);
  absl::Status AddPiece(Shard& shard, ShardPiece& piece, const Numbers& numbers);

  std::vector<Shard> shards_;
  absl::flat_hash_map<std::string, size_t> shard_index_;  // By writer, path and box.
  std::vector<std::string> objects_;
  absl::flat_hash_map<std::string, uint32_t> object_index_;
  std::vector<Extent> bases_;
  absl::flat_hash_map<std::pair<uint32_t, uint64_t>, uint32_t> base_index_;  // Object and offset.
};

// Names a shard within a session, for maps: writer, path and box.
std::string ShardKey(uint32_t writer, const KeyPath& path, const Box& box, EntryKind kind);

// Bytes of the shard `box` of `entry` (of the asset; 0 for values and aliases).
absl::StatusOr<uint64_t> ShardBytes(const Entry& entry, const Box& box);

}  // namespace cairn
