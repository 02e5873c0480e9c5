#include "server/registry/sqlite_commit.h"

#include <optional>

#include "common/base/status_macros.h"
#include "server/registry/registry_rules.h"
#include "server/registry/sqlite_checkpoints.h"
#include "server/registry/sqlite_metadata.h"
#include "server/registry/sqlite_parts.h"
#include "server/registry/sqlite_sessions.h"

namespace cairn::sqlite {
namespace {

absl::StatusOr<int64_t> InsertRow(Connection& db, const CheckpointRow& row, absl::Time now) {
  CAIRN_RETURN_IF_ERROR(db.Run(
      "INSERT INTO checkpoints (uid, name, step, created_at, committed_at, manifest_key, manifest_digest, "
      "manifest_bytes, entry_count, tensor_count, logical_bytes, new_bytes, parent, created_by) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
      row.uid, row.name, row.step, row.created_at, now, row.manifest_key, Blob{row.manifest_digest.AsBytes()},
      row.manifest_bytes, row.entry_count, row.tensor_count, row.logical_bytes, row.new_bytes, row.parent,
      row.created_by));
  const int64_t checkpoint = db.last_insert_id();
  CAIRN_RETURN_IF_ERROR(WriteMetadata(db, MetadataOwner::kCheckpoint, checkpoint, row.metadata));
  return checkpoint;
}

// From now on the checkpoint needs these objects. One named twice is needed once.
absl::Status NeedObjects(Connection& db, int64_t checkpoint, absl::Span<const std::string> keys) {
  CAIRN_ASSIGN_OR_RETURN(Statement select, db.Prepare("SELECT id, condemned FROM objects WHERE key = ?1"));
  CAIRN_ASSIGN_OR_RETURN(
      Statement insert,
      db.Prepare(
          "INSERT INTO checkpoint_objects (checkpoint, object) VALUES (?1, ?2) ON CONFLICT DO NOTHING"));
  for (const std::string& key : keys) {
    CAIRN_ASSIGN_OR_RETURN(const bool known, select.Bind(key).Step());
    if (!known || select.Bool(1)) return registry_rules::ObjectNotLive(key, /*condemned=*/known);
    CAIRN_RETURN_IF_ERROR(insert.Bind(checkpoint, select.Int(0)).Run());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CheckpointRow> CommitSession(Connection& db, absl::string_view session_id,
                                            const CheckpointRow& row, absl::Span<const std::string> objects,
                                            uint64_t part_count, absl::Time now) {
  CAIRN_ASSIGN_OR_RETURN(const SessionHead session, FindSession(db, session_id));
  if (session.state == SessionState::kCommitted) return ReadCheckpoint(db, session.checkpoint_uid);
  CAIRN_RETURN_IF_ERROR(registry_rules::CheckOpen(session_id, session.state));
  CAIRN_RETURN_IF_ERROR(registry_rules::CheckCommitRow(session_id, session.name, session.step, row));
  CAIRN_ASSIGN_OR_RETURN(const uint64_t parts, CountParts(db, session.id));
  if (parts != part_count) return registry_rules::PartCountDiffers(session_id, part_count, parts);

  CAIRN_ASSIGN_OR_RETURN(const std::optional<int64_t> old, FindCheckpoint(db, row.name, row.step));
  if (old.has_value()) {
    if (!session.overwrite) return registry_rules::StepTaken(row.name, row.step);
    // Frees name@step for the new row. The tags stay until they can move.
    CAIRN_RETURN_IF_ERROR(db.Run("UPDATE checkpoints SET deleted_at = ?2 WHERE id = ?1", *old, now));
  }
  CAIRN_ASSIGN_OR_RETURN(const int64_t checkpoint, InsertRow(db, row, now));
  if (old.has_value()) {
    CAIRN_RETURN_IF_ERROR(db.Run("UPDATE tags SET checkpoint = ?2 WHERE checkpoint = ?1", *old, checkpoint));
  }
  // The manifest is no part of any session: this is the moment from which it is known.
  CAIRN_RETURN_IF_ERROR(
      db.Run("INSERT INTO objects (key, bytes) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING",
             row.manifest_key, row.manifest_bytes));
  CAIRN_RETURN_IF_ERROR(NeedObjects(db, checkpoint, objects));
  CAIRN_RETURN_IF_ERROR(NeedObjects(db, checkpoint, {row.manifest_key}));
  CAIRN_RETURN_IF_ERROR(EndSession(db, session.id, SessionState::kCommitted, now, row.uid));
  return ReadCheckpoint(db, row.uid);
}

}  // namespace cairn::sqlite
