#pragma once

#include <cstdint>
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
#include "server/engine/part_writer.h"
#include "server/registry/registry.h"
#include "server/store/object_store.h"

namespace cairn {

struct UploadOptions : PartOptions {
  absl::Duration renew_every = absl::Minutes(1);  // The session's lease, while bytes come in.
};

// Everything of a stream up to a position is durable.
struct UploadProgress {
  uint64_t durable_entries = 0;     // Entries durable whole, counted over this upload.
  uint64_t durable_offset = 0;      // Of the entry after them.
  uint64_t durable_bytes = 0;       // Bytes of this upload that are durable.
  uint64_t deduplicated_bytes = 0;  // Of these, bytes that the store had already.
};

// Takes the entries of one writer, one after the other, and makes them durable: cuts them into extents, which a
// PartWriter stores, and has a part made durable when it is large enough, while it fills the next. Transport-free. One thread at a time; every call may
// block on disk and registry.
//
// Memory: the pieces of one unfinished extent, of extents not yet placed (at most extent_bytes in all), and the
// records of two parts. An upload that is destroyed early drops what was not recorded; nothing else is lost.
class Upload {
 public:
  // NOT_FOUND, FAILED_PRECONDITION (session not open), INVALID_ARGUMENT (no such writer). `store`, `registry`, `clock`
  // and `seal_pool` (see PartWriter) outlive the upload. `parent`: the session's, whose bytes help to store fewer; may be
  // null.
  static absl::StatusOr<std::unique_ptr<Upload>> Open(ObjectStore& store, Registry& registry, const Clock& clock,
                                                      ThreadPool& seal_pool, UploadOptions options,
                                                      const std::string& session_id, uint32_t writer,
                                                      std::shared_ptr<const OpenCheckpoint> parent);
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
  absl::Status Settle();

  // Makes everything up to here durable, but for the unfinished extent at the end.
  absl::Status Flush();

  const UploadProgress& progress() const { return progress_; }
  const std::string& session_id() const { return session_id_; }
  // "tensor "a/b"": what is being written, for messages. Empty between entries.
  std::string CurrentEntry() const;

 private:
  struct Current;  // The declared entry.

  Upload(ObjectStore& store, Registry& registry, const Clock& clock, ThreadPool& seal_pool, UploadOptions options,
         std::string session_id, uint32_t writer, std::shared_ptr<const OpenCheckpoint> parent);
  absl::Status LoadEarlierProgress();
  void CollectTail();
  absl::Status PlaceAndSealIfDue();
  absl::Status StartSeal();
  absl::Status TakeProgress();
  absl::Status RenewIfDue();

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
  PartWriter part_;
  uint64_t entries_ = 0;  // Finished over this upload.
  UploadProgress progress_;
  std::optional<UploadProgress> sealing_;  // What progress_ becomes once the part under way is durable.
  absl::Time renewed_;
};

}  // namespace cairn
