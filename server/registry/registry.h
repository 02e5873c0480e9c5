#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/digest.h"

namespace cairn {

// ---- Rows -----------------------------------------------------------------------------------------------------

// What a client asks for when it opens a save session.
struct SessionSpec {
  std::string name;        // Valid checkpoint name (checked by the engine).
  int64_t step = 0;
  std::string client_key;  // Chosen by the client; the same key gives the same session. Not empty.
  uint32_t writers = 1;    // Writers 0 .. writers-1 take part.
  bool overwrite = false;  // Replace an existing name@step at the commit.
  bool auto_commit = false;  // The last FinishWriter commits.
  std::map<std::string, std::string> metadata;
  std::string parent;      // uid of the checkpoint that this one came from; may be empty.
  std::string created_by;  // Who: free text from the client ("host/user"), shown in listings.
  absl::Duration lease = absl::Minutes(10);
  std::string options;     // Opaque to the registry: whatever the engine wants to find again.
};

enum class SessionState : uint8_t { kOpen = 1, kCommitted = 2, kAborted = 3, kExpired = 4 };

struct Session {
  std::string id;
  SessionSpec spec;
  SessionState state = SessionState::kOpen;
  absl::Time created_at;
  absl::Time expires_at;
  std::vector<uint32_t> finished_writers;  // Ascending.
  std::string checkpoint_uid;              // Once committed.
};

// Where the bytes of a stored extent are. `encoding` is MANIFEST.md's number (0: as they are).
struct ExtentLocation {
  std::string object_key;
  uint64_t offset = 0;
  uint32_t stored_bytes = 0;
  uint32_t raw_bytes = 0;
  uint8_t encoding = 0;
};

// One sealed object of a session, with the engine's record of which shards it holds pieces of.
struct SessionPart {
  uint32_t writer = 0;
  std::string object_key;     // Empty: a part without bytes of its own (values, or everything was known already).
  uint64_t object_bytes = 0;
  std::string record;         // Opaque to the registry.
};

struct NewExtent {
  Digest digest;
  uint64_t offset = 0;
  uint32_t stored_bytes = 0;
  uint32_t raw_bytes = 0;
  uint8_t encoding = 0;
};

// A committed checkpoint.
struct CheckpointRow {
  std::string uid;  // Random, never reused.
  std::string name;
  int64_t step = 0;
  absl::Time created_at;
  absl::Time committed_at;
  std::string manifest_key;
  Digest manifest_digest;
  uint64_t manifest_bytes = 0;
  uint64_t entry_count = 0;
  uint64_t tensor_count = 0;
  uint64_t logical_bytes = 0;  // All tensors and assets.
  uint64_t new_bytes = 0;      // Of these, bytes that had to be stored for this checkpoint.
  std::map<std::string, std::string> metadata;
  std::string parent;
  std::string created_by;
  std::vector<std::string> tags;  // Ascending. Filled on reading; ignored on writing. Without `latest`.
};

struct CheckpointFilter {
  std::string name;         // Exactly this name; empty: all.
  std::string name_prefix;  // Names that begin with it; empty: all.
  std::map<std::string, std::string> metadata;  // Every one must be equal.
};

// ---- The interface --------------------------------------------------------------------------------------------

// Which checkpoints exist, which sessions fill new ones, and which objects they need. Metadata only: never tensor
// bytes. Every method is one transaction: it happens whole or not at all, durably, and in an order that all daemons
// on one registry agree on.
//
// Thread-safe. Calls block; run them on the registry pool, never on a gRPC thread. Besides what each method names:
//   UNAVAILABLE         the database cannot be reached or stays locked; try again
//   RESOURCE_EXHAUSTED  no room for the database
//   PERMISSION_DENIED   the database may not be written
//   DATA_LOSS           the database is damaged
//   NOT_FOUND           (methods on a session) there is no session of that id
class Registry {
 public:
  virtual ~Registry() = default;

  // -- Save sessions

  // Opens a session under the given id, or returns the one that has the same client key (whatever its state), if its
  // name, step and writers are the same; ALREADY_EXISTS otherwise. ALREADY_EXISTS too when name@step is committed
  // and !spec.overwrite.
  virtual absl::StatusOr<Session> BeginSession(absl::string_view new_id, const SessionSpec& spec, absl::Time now) = 0;

  // NOT_FOUND.
  virtual absl::StatusOr<Session> GetSession(absl::string_view id) = 0;
  // The session that was opened with this client key, whatever its state. NOT_FOUND.
  virtual absl::StatusOr<Session> GetSessionByKey(absl::string_view client_key) = 0;

  // Moves the end of the lease to now + its length. FAILED_PRECONDITION unless open, naming the state; NOT_FOUND.
  virtual absl::Status RenewSession(absl::string_view id, absl::Time now) = 0;

  // Records a part, its object (if any) and its new extents, and renews the lease. From now on the object's bytes
  // are durable progress of the session, and its extents may be claimed by others. An extent whose digest is known
  // already is left as it was. FAILED_PRECONDITION unless the session is open and the writer has not finished;
  // INVALID_ARGUMENT for a writer >= spec.writers, or for extents without an object. A part with an object that is
  // recorded already is recorded once if it is the same part, and refused with ALREADY_EXISTS if it is another.
  virtual absl::Status RecordPart(absl::string_view session_id, const SessionPart& part,
                                  absl::Span<const NewExtent> extents, absl::Time now) = 0;

  // Parts in the order of their recording, at most `limit` from position `start` on (counted over the selection).
  // With `writer`, that writer's alone.
  virtual absl::StatusOr<std::vector<SessionPart>> ListParts(absl::string_view session_id,
                                                             std::optional<uint32_t> writer, uint64_t start,
                                                             size_t limit) = 0;

  // Which of these extents are stored already. Each object that is named in the answer is from now on needed by the
  // session, so that it outlives every garbage collection until the session ends. FAILED_PRECONDITION unless open.
  virtual absl::StatusOr<std::vector<std::optional<ExtentLocation>>> ClaimExtents(
      absl::string_view session_id, absl::Span<const Digest> digests) = 0;

  // The same for whole objects: those of which the answer is true are from now on needed by the session; the others are
  // not known, or condemned already. FAILED_PRECONDITION unless open.
  virtual absl::StatusOr<std::vector<bool>> ClaimObjects(absl::string_view session_id,
                                                         absl::Span<const std::string> object_keys) = 0;

  // Notes that a writer has finished; again is OK. Renews the lease. FAILED_PRECONDITION unless open;
  // INVALID_ARGUMENT for a writer >= spec.writers. Returns the session as it then is.
  virtual absl::StatusOr<Session> FinishWriter(absl::string_view session_id, uint32_t writer, absl::Time now) = 0;

  // The commit point. In one transaction: the session is open and has exactly `part_count` parts (ABORTED otherwise:
  // somebody recorded one meanwhile, look again); every object in `objects` is known and not condemned (ABORTED);
  // name@step is free (ALREADY_EXISTS), or the session overwrites and the old row is deleted as DeleteCheckpoint
  // does, its tags moving to the new one; the row appears, with the manifest and `objects` as what it needs; the
  // session is committed and needs nothing any more. If the session is committed already, returns that row.
  // FAILED_PRECONDITION if it was aborted or has expired. `objects` is without the manifest; committed_at is `now`.
  virtual absl::StatusOr<CheckpointRow> CommitSession(absl::string_view session_id, const CheckpointRow& row,
                                                      absl::Span<const std::string> objects, uint64_t part_count,
                                                      absl::Time now) = 0;

  // Ends an open session without a checkpoint; again is OK. FAILED_PRECONDITION if committed; NOT_FOUND.
  virtual absl::Status AbortSession(absl::string_view session_id, absl::Time now) = 0;

  // Ends every open session whose lease is over. Returns their ids.
  virtual absl::StatusOr<std::vector<std::string>> ExpireSessions(absl::Time now) = 0;

  // Open sessions, oldest first.
  virtual absl::StatusOr<std::vector<Session>> ListOpenSessions() = 0;

  // Removes sessions that ended before `before`, so that the table does not grow for ever. Their client keys are
  // forgotten with them.
  virtual absl::Status ForgetEndedSessions(absl::Time before) = 0;

  // -- Checkpoints and tags

  // `selector` is a step, a tag, or nothing for the highest step. NOT_FOUND says which part is missing.
  virtual absl::StatusOr<CheckpointRow> GetCheckpoint(absl::string_view name, std::optional<int64_t> step,
                                                      absl::string_view tag) = 0;
  virtual absl::StatusOr<CheckpointRow> GetCheckpointByUid(absl::string_view uid) = 0;
  // The highest step of a name below `step`. NOT_FOUND if there is none.
  virtual absl::StatusOr<CheckpointRow> GetCheckpointBelow(absl::string_view name, int64_t step) = 0;

  // Ordered by name, then step, ascending; those after (after_name, after_step); at most `limit`.
  virtual absl::StatusOr<std::vector<CheckpointRow>> ListCheckpoints(const CheckpointFilter& filter,
                                                                     absl::string_view after_name, int64_t after_step,
                                                                     size_t limit) = 0;

  // The row disappears for readers at once, and its tags with it; what it needs stays until PurgeDeleted(). Deleting
  // it again is OK while it is remembered; NOT_FOUND later.
  virtual absl::Status DeleteCheckpoint(absl::string_view uid, absl::Time now) = 0;

  // Sets or moves a tag. NOT_FOUND if the checkpoint is gone. If `expected_uid` is given, the tag must point there
  // before (empty: must not exist), ABORTED otherwise. INVALID_ARGUMENT for `latest`, which is computed.
  virtual absl::Status SetTag(absl::string_view name, absl::string_view tag, absl::string_view uid,
                              std::optional<std::string> expected_uid) = 0;
  // NOT_FOUND if there is none.
  virtual absl::Status DeleteTag(absl::string_view name, absl::string_view tag) = 0;

  // -- Reads that must not lose their bytes

  // Until `expires_at`, the checkpoint's objects survive a deletion. Again with the same holder moves the end.
  // NOT_FOUND if the checkpoint is deleted and this holder has no pin on it.
  virtual absl::Status PinCheckpoint(absl::string_view uid, absl::string_view holder, absl::Time expires_at) = 0;
  virtual absl::Status UnpinCheckpoint(absl::string_view uid, absl::string_view holder) = 0;

  // -- Garbage (README.md in server/engine tells the protocol)

  // Forgets deleted checkpoints that no live pin holds. Returns how many.
  virtual absl::StatusOr<uint64_t> PurgeDeleted(absl::Time now) = 0;

  struct Garbage {
    std::string object_key;
    uint64_t bytes = 0;
  };
  // Condemns objects that nothing needs (no checkpoint, deleted or not, and no open session): their extents can no
  // longer be claimed. Returns up to `limit` condemned objects, those of earlier calls included.
  virtual absl::StatusOr<std::vector<Garbage>> CondemnObjects(size_t limit) = 0;

  struct GarbageForecast {
    uint64_t sessions = 0;     // That ExpireSessions() would end,
    uint64_t checkpoints = 0;  // that PurgeDeleted() would forget,
    uint64_t objects = 0;      // and that CondemnObjects() would then return, had it no limit.
    uint64_t bytes = 0;        // Of these objects.
  };
  // What these three would find, called at `now` one after the other. Changes nothing.
  virtual absl::StatusOr<GarbageForecast> ForecastGarbage(absl::Time now) = 0;

  // Forgets condemned objects, once they are gone from the store.
  virtual absl::Status ForgetObjects(absl::Span<const std::string> object_keys) = 0;

  // For each key: is it an object that the registry knows?
  virtual absl::StatusOr<std::vector<bool>> KnowsObjects(absl::Span<const std::string> object_keys) = 0;

  // -- Leases between daemons

  // True if `holder` has the lease now: it was free, over, or its own (then it is renewed).
  virtual absl::StatusOr<bool> AcquireLease(absl::string_view lease, absl::string_view holder, absl::Time now,
                                            absl::Duration length) = 0;
  virtual absl::Status ReleaseLease(absl::string_view lease, absl::string_view holder) = 0;

  struct Totals {
    uint64_t checkpoints = 0;
    uint64_t open_sessions = 0;
    uint64_t objects = 0;
    uint64_t object_bytes = 0;
    uint64_t logical_bytes = 0;
  };
  virtual absl::StatusOr<Totals> GetTotals() = 0;

  // Where it is, for people: a path or URL without secrets.
  virtual std::string Describe() const = 0;
};

}  // namespace cairn
