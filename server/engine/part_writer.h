#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/thread_pool.h"
#include "server/engine/open_checkpoint.h"
#include "server/engine/parent_deltas.h"
#include "server/engine/part_sealer.h"
#include "server/engine/session_record.h"
#include "server/registry/registry.h"
#include "server/store/object_store.h"

namespace cairn {

struct PartOptions {
  uint32_t extent_bytes = 1u << 20;   // Bytes that are digested and stored as one piece.
  uint64_t object_bytes = 64u << 20;  // An object is sealed once it has as many.
  // Of a save with a parent: so many deltas at most have to be applied to read an extent. 0: none are stored.
  uint32_t max_delta_chain = 8;
  // Told once of damage in the parent, which costs the save nothing but bytes. May be empty.
  std::function<void(absl::string_view)> notice;
};

// Fills parts of a session, one after the other: an object, and the record of which extents of which shards it brought.
// Digests each extent, looks up whether the store has its bytes, and stores only what it has not, as the difference to the
// parent where that is less. A part that is full is made durable beside the filling of the next. One thread at a time; calls block on disk and registry. After an
// error nothing but destruction is allowed.
//
// An extent is taken for stored only if the bytes that the store has are the same, byte for byte: a digest finds
// candidates and proves nothing (docs/decisions, 0012).
class PartWriter {
 public:
  // `seal_pool` runs what makes parts durable; nothing that waits for it may run there. All outlive the writer. `parent`
  // may be null.
  PartWriter(ObjectStore& store, Registry& registry, const Clock& clock, ThreadPool& seal_pool, PartOptions options,
             std::string session_id, uint32_t writer, std::shared_ptr<const OpenCheckpoint> parent);
  ~PartWriter();

  // Starts a run of extents of a shard that begins at `start` of its bytes. The number is good until the next StartSeal().
  size_t AddPiece(const Entry& entry, const Box& box, uint64_t start);
  // Of `size` bytes, at most extent_bytes. They are held until they are placed.
  void AddExtent(size_t piece, std::vector<Buffer> bytes, uint32_t size);
  void FinishPiece(size_t piece) { record_.pieces[piece].finished = true; }

  // Places what waits if that is as much as may wait.
  absl::Status PlaceIfDue();
  // Places everything that waits; no memory of its bytes is held afterwards.
  absl::Status Place();
  // The part is as large as it should get.
  bool SealIsDue() const;
  // Begins to make everything that was added durable and to say so to the registry. What was begun before is durable
  // when it returns.
  absl::Status StartSeal();
  bool SealIsDone() const { return sealer_.Idle(); }
  absl::Status AwaitSeal() { return sealer_.Await(); }

  uint64_t placed_bytes() const { return placed_bytes_; }  // Over all parts,
  uint64_t known_bytes() const { return known_bytes_; }    // and of these what the store had already.

 private:
  struct Waiting;
  // Of the part that is being filled, beside record_.pieces.
  struct Piece {
    size_t unit = 1;                // Of its elements, for deltas.
    uint64_t end = 0;               // Where its next extent begins within the shard.
    ParentExtents::Cursor parent;
  };

  absl::Status FindStored();
  absl::StatusOr<bool> IsStored(const Waiting& waiting, const ExtentLocation& location);
  absl::Status ClaimBases();
  bool IsUnsealed(const Waiting& waiting, Extent& extent);
  absl::StatusOr<Extent> StoreDelta(const Waiting& waiting);
  absl::Status AppendToObject(absl::Span<const Buffer> bytes, Extent& extent);
  uint32_t ObjectIndex(const std::string& key);
  uint32_t BaseIndex(const Extent& base);

  ObjectStore& store_;
  Registry& registry_;
  const PartOptions options_;
  const std::string session_id_;
  const uint32_t writer_;
  std::unique_ptr<ParentDeltas> parent_;  // Null: there is none, or it is not to be used.

  std::vector<Waiting> waiting_;
  uint64_t waiting_bytes_ = 0;
  Digester digester_{DigestAlgorithm::kXxh3};
  std::vector<char> window_;  // Stored bytes to compare with, once there were any.

  SessionRecord record_;
  uint64_t record_bytes_ = 0;  // Rough size of the encoded record.
  std::vector<Piece> pieces_;
  absl::flat_hash_map<std::string, uint32_t> object_index_;
  absl::flat_hash_map<std::pair<uint32_t, uint64_t>, uint32_t> base_index_;  // Object and offset.
  std::unique_ptr<ObjectWriter> object_;
  std::vector<NewExtent> new_extents_;
  // Extents of an object that nobody else knows yet. Not compared, since an object cannot be read before it is
  // sealed: who makes two extents of one digest within 128 MiB of one stream fools nobody but himself.
  struct Unsealed {
    std::string object_key;
    absl::flat_hash_map<Digest, Extent> extents;
  };
  Unsealed filling_;  // Of object_,
  Unsealed sealing_;  // and of the one before, until the registry knows it.
  PartSealer sealer_;

  uint64_t placed_bytes_ = 0;
  uint64_t known_bytes_ = 0;
};

}  // namespace cairn
