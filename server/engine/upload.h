#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "server/engine/session_record.h"
#include "server/registry/registry.h"
#include "server/store/object_store.h"

namespace cairn {

struct UploadOptions {
  uint32_t extent_bytes = 1u << 20;   // Bytes that are digested and stored as one piece.
  uint64_t object_bytes = 64u << 20;  // An object is sealed once it has as many.
  absl::Duration renew_every = absl::Minutes(1);  // The session's lease, while bytes come in.
};

// Everything of a stream up to a position is durable.
struct UploadProgress {
  uint64_t durable_entries = 0;     // Entries durable whole, counted over this upload.
  uint64_t durable_offset = 0;      // Of the entry after them.
  uint64_t durable_bytes = 0;       // Bytes of this upload that are durable.
  uint64_t deduplicated_bytes = 0;  // Of these, bytes that the store had already.
};

// Takes the entries of one writer, one after the other, and makes them durable: cuts them into extents, digests each,
// looks up which of them the store has, appends the others to an object, seals it when it is large enough and records
// it with the session. Transport-free. One thread at a time; every call may block on disk and registry.
//
// Memory: the pieces of one unfinished extent, of extents not yet looked up (at most extent_bytes in all), and the
// record of one object. An upload that is destroyed early drops what was not recorded; nothing else is lost.
class Upload {
 public:
  // NOT_FOUND, FAILED_PRECONDITION (session not open), INVALID_ARGUMENT (no such writer). `store`, `registry` and
  // `clock` outlive the upload.
  static absl::StatusOr<std::unique_ptr<Upload>> Open(ObjectStore& store, Registry& registry, const Clock& clock,
                                                      UploadOptions options, const std::string& session_id,
                                                      uint32_t writer);
  ~Upload();

  // Declares the next entry; the one before is finished. `box`: of a tensor, all of it if absent. `start` must be the
  // shard's durable bytes (0 for a new one): FAILED_PRECONDITION (reason RESUME_OFFSET, "expected") otherwise.
  absl::Status Declare(const Entry& entry, const std::optional<Box>& box, uint64_t start);

  // Bytes of the declared entry, whose checksum has been checked. `offset` continues where the last ended
  // (FAILED_PRECONDITION otherwise); more than declared is OUT_OF_RANGE.
  absl::Status Append(uint64_t offset, std::vector<Buffer> pieces);

  // INVALID_ARGUMENT if bytes are missing.
  absl::Status FinishEntry();

  // Places what is waiting, so that no memory but that of the unfinished extent is held. Cheap if nothing waits.
  absl::Status Settle() { return PlacePending(); }

  // Makes everything up to here durable, but for the unfinished extent at the end.
  absl::Status Flush();

  const UploadProgress& progress() const { return progress_; }
  const std::string& session_id() const { return session_id_; }
  // "tensor "a/b"": what is being written, for messages. Empty between entries.
  std::string CurrentEntry() const;

 private:
  struct Current;       // The declared entry.
  struct PendingExtent;  // Whole, but not yet looked up.

  Upload(ObjectStore& store, Registry& registry, const Clock& clock, UploadOptions options, std::string session_id,
         uint32_t writer);
  absl::Status LoadEarlierProgress();
  void CollectTail();
  absl::Status PlaceAndSealIfDue();
  absl::Status PlacePending();
  absl::Status AppendToObject(PendingExtent& pending, Extent& extent);
  absl::Status SealAndRecord();
  uint32_t ObjectIndex(const std::string& key);
  absl::Status RenewIfDue();

  ObjectStore& store_;
  Registry& registry_;
  const Clock& clock_;
  const UploadOptions options_;
  const std::string session_id_;
  const uint32_t writer_;

  // What earlier streams of this writer made durable, by ShardKey.
  struct Earlier {
    uint64_t durable_bytes = 0;
    bool finished = false;
  };
  absl::flat_hash_map<std::string, Earlier> earlier_;

  std::unique_ptr<Current> current_;
  std::vector<PendingExtent> pending_;
  uint64_t pending_bytes_ = 0;

  // The part that is being filled: pieces of shards, and the object that their new bytes go to.
  SessionRecord record_;
  uint64_t record_bytes_ = 0;  // Rough size of the encoded record.
  absl::flat_hash_map<std::string, uint32_t> object_index_;
  std::unique_ptr<ObjectWriter> object_;
  std::string object_key_;
  std::vector<NewExtent> new_extents_;
  absl::flat_hash_map<Digest, Extent> unsealed_;  // Extents of `object_`, which nobody else knows yet.

  uint64_t entries_ = 0;    // Finished over this upload.
  uint64_t bytes_ = 0;      // Placed over this upload.
  uint64_t known_bytes_ = 0;
  UploadProgress progress_;
  absl::Time renewed_;
};

}  // namespace cairn
