#include "server/registry/sqlite_checkpoints.h"

#include <utility>

#include "common/base/status_macros.h"
#include "server/registry/registry_rules.h"
#include "server/registry/sqlite_metadata.h"

namespace cairn::sqlite {
namespace {

#define CAIRN_CHECKPOINT_COLUMNS                                                                          \
  "SELECT id, uid, name, step, created_at, committed_at, manifest_key, manifest_digest, manifest_bytes, " \
  "entry_count, tensor_count, logical_bytes, new_bytes, parent, created_by FROM checkpoints "

absl::StatusOr<std::vector<std::string>> ReadTags(Connection& db, int64_t checkpoint) {
  CAIRN_ASSIGN_OR_RETURN(Statement select,
                         db.Prepare("SELECT tag FROM tags WHERE checkpoint = ?1 ORDER BY tag"));
  select.Bind(checkpoint);
  std::vector<std::string> tags;
  for (;;) {
    CAIRN_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return tags;
    tags.push_back(select.Text(0));
  }
}

// The checkpoint at the row of CAIRN_CHECKPOINT_COLUMNS that `row` stands on.
absl::StatusOr<CheckpointRow> ReadRow(Connection& db, const Statement& row) {
  const int64_t id = row.Int(0);
  CheckpointRow checkpoint;
  checkpoint.uid = row.Text(1);
  checkpoint.name = row.Text(2);
  checkpoint.step = row.Int(3);
  checkpoint.created_at = row.Time(4);
  checkpoint.committed_at = row.Time(5);
  checkpoint.manifest_key = row.Text(6);
  absl::StatusOr<Digest> digest = Digest::FromBytes(row.Bytes(7));
  if (!digest.ok()) {
    return absl::DataLossError("registry database " + db.path() + ": checkpoint " + checkpoint.uid +
                               ": its manifest's digest is no digest");
  }
  checkpoint.manifest_digest = *digest;
  checkpoint.manifest_bytes = row.Uint(8);
  checkpoint.entry_count = row.Uint(9);
  checkpoint.tensor_count = row.Uint(10);
  checkpoint.logical_bytes = row.Uint(11);
  checkpoint.new_bytes = row.Uint(12);
  checkpoint.parent = row.Text(13);
  checkpoint.created_by = row.Text(14);
  CAIRN_ASSIGN_OR_RETURN(checkpoint.metadata, ReadMetadata(db, MetadataOwner::kCheckpoint, id));
  CAIRN_ASSIGN_OR_RETURN(checkpoint.tags, ReadTags(db, id));
  return checkpoint;
}

// The first row of a bound statement, if there is one.
absl::StatusOr<std::optional<CheckpointRow>> ReadFirstRow(Connection& db, Statement& select) {
  CAIRN_ASSIGN_OR_RETURN(const bool found, select.Step());
  if (!found) return std::optional<CheckpointRow>();
  CAIRN_ASSIGN_OR_RETURN(CheckpointRow row, ReadRow(db, select));
  return std::optional<CheckpointRow>(std::move(row));
}

absl::StatusOr<bool> HasMetadata(Connection& db, int64_t checkpoint,
                                 const std::map<std::string, std::string>& wanted) {
  CAIRN_ASSIGN_OR_RETURN(
      Statement select,
      db.Prepare("SELECT 1 FROM checkpoint_metadata WHERE checkpoint = ?1 AND key = ?2 AND value = ?3"));
  for (const auto& [key, value] : wanted) {
    CAIRN_ASSIGN_OR_RETURN(const bool found, select.Bind(checkpoint, key, value).Step());
    if (!found) return false;
  }
  return true;
}

struct Found {
  int64_t id = 0;
  std::string name;
  bool deleted = false;
};

absl::StatusOr<std::optional<Found>> FindByUid(Connection& db, absl::string_view uid) {
  CAIRN_ASSIGN_OR_RETURN(
      Statement select,
      db.Prepare("SELECT id, name, deleted_at IS NOT NULL FROM checkpoints WHERE uid = ?1"));
  CAIRN_ASSIGN_OR_RETURN(const bool found, select.Bind(uid).Step());
  if (!found) return std::optional<Found>();
  return std::optional<Found>({.id = select.Int(0), .name = select.Text(1), .deleted = select.Bool(2)});
}

}  // namespace

absl::StatusOr<std::optional<int64_t>> FindCheckpoint(Connection& db, absl::string_view name, int64_t step) {
  CAIRN_ASSIGN_OR_RETURN(
      Statement select,
      db.Prepare("SELECT id FROM checkpoints WHERE name = ?1 AND step = ?2 AND deleted_at IS NULL"));
  CAIRN_ASSIGN_OR_RETURN(const bool found, select.Bind(name, step).Step());
  if (!found) return std::optional<int64_t>();
  return std::optional<int64_t>(select.Int(0));
}

absl::StatusOr<CheckpointRow> ReadCheckpoint(Connection& db, absl::string_view uid) {
  CAIRN_ASSIGN_OR_RETURN(Statement select, db.Prepare(CAIRN_CHECKPOINT_COLUMNS "WHERE uid = ?1"));
  CAIRN_ASSIGN_OR_RETURN(std::optional<CheckpointRow> row, ReadFirstRow(db, select.Bind(uid)));
  if (!row.has_value()) return registry_rules::NoUid(uid);
  return *std::move(row);
}

absl::Status MarkDeleted(Connection& db, int64_t checkpoint, absl::Time now) {
  CAIRN_RETURN_IF_ERROR(db.Run("DELETE FROM tags WHERE checkpoint = ?1", checkpoint));
  return db.Run("UPDATE checkpoints SET deleted_at = ?2 WHERE id = ?1 AND deleted_at IS NULL", checkpoint,
                now);
}

absl::StatusOr<CheckpointRow> GetCheckpoint(Connection& db, absl::string_view name,
                                            std::optional<int64_t> step, absl::string_view tag) {
  CAIRN_RETURN_IF_ERROR(registry_rules::CheckSelector(name, step.has_value(), tag));
  const bool by_tag = !tag.empty() && tag != registry_rules::kLatestTag;
  CAIRN_ASSIGN_OR_RETURN(
      Statement select, db.Prepare(step.has_value() ? CAIRN_CHECKPOINT_COLUMNS
                                       "WHERE name = ?1 AND step = ?2 AND deleted_at IS NULL"
                                   : by_tag ? CAIRN_CHECKPOINT_COLUMNS
                                       "WHERE id = (SELECT checkpoint FROM tags WHERE name = ?1 AND tag = ?2)"
                                            : CAIRN_CHECKPOINT_COLUMNS
                                       "WHERE name = ?1 AND deleted_at IS NULL ORDER BY step DESC LIMIT 1"));
  if (step.has_value()) {
    select.Bind(name, *step);
  } else if (by_tag) {
    select.Bind(name, tag);
  } else {
    select.Bind(name);
  }
  CAIRN_ASSIGN_OR_RETURN(std::optional<CheckpointRow> row, ReadFirstRow(db, select));
  if (row.has_value()) return *std::move(row);
  // Which part is missing: the name, or what was wanted of it?
  CAIRN_ASSIGN_OR_RETURN(Statement any,
                         db.Prepare("SELECT 1 FROM checkpoints WHERE name = ?1 AND deleted_at IS NULL"));
  CAIRN_ASSIGN_OR_RETURN(const bool has_name, any.Bind(name).Step());
  if (!has_name) return registry_rules::NoName(name);
  return step.has_value() ? registry_rules::NoStep(name, *step) : registry_rules::NoTag(name, tag);
}

absl::StatusOr<CheckpointRow> GetCheckpointByUid(Connection& db, absl::string_view uid) {
  CAIRN_ASSIGN_OR_RETURN(Statement select,
                         db.Prepare(CAIRN_CHECKPOINT_COLUMNS "WHERE uid = ?1 AND deleted_at IS NULL"));
  CAIRN_ASSIGN_OR_RETURN(std::optional<CheckpointRow> row, ReadFirstRow(db, select.Bind(uid)));
  if (!row.has_value()) return registry_rules::NoUid(uid);
  return *std::move(row);
}

absl::StatusOr<CheckpointRow> GetCheckpointBelow(Connection& db, absl::string_view name, int64_t step) {
  CAIRN_ASSIGN_OR_RETURN(
      Statement select,
      db.Prepare(CAIRN_CHECKPOINT_COLUMNS
                 "WHERE name = ?1 AND step < ?2 AND deleted_at IS NULL ORDER BY step DESC LIMIT 1"));
  CAIRN_ASSIGN_OR_RETURN(std::optional<CheckpointRow> row, ReadFirstRow(db, select.Bind(name, step)));
  if (!row.has_value()) return registry_rules::NoStepBelow(name, step);
  return *std::move(row);
}

absl::StatusOr<std::vector<CheckpointRow>> ListCheckpoints(Connection& db, const CheckpointFilter& filter,
                                                           absl::string_view after_name, int64_t after_step,
                                                           size_t limit) {
  CAIRN_ASSIGN_OR_RETURN(
      Statement select,
      db.Prepare(CAIRN_CHECKPOINT_COLUMNS
                 "WHERE (name, step) > (?1, ?2) AND deleted_at IS NULL ORDER BY name, step"));
  const registry_rules::ListStart start = registry_rules::StartOfList(filter, after_name, after_step);
  select.Bind(start.name, start.step);
  std::vector<CheckpointRow> rows;
  while (rows.size() < limit) {
    CAIRN_ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found || !registry_rules::NameInRange(filter, select.Bytes(2))) break;
    CAIRN_ASSIGN_OR_RETURN(const bool wanted, HasMetadata(db, select.Int(0), filter.metadata));
    if (!wanted) continue;
    CAIRN_ASSIGN_OR_RETURN(CheckpointRow row, ReadRow(db, select));
    rows.push_back(std::move(row));
  }
  return rows;
}

absl::Status DeleteCheckpoint(Connection& db, absl::string_view uid, absl::Time now) {
  CAIRN_ASSIGN_OR_RETURN(const std::optional<Found> found, FindByUid(db, uid));
  if (!found.has_value()) return registry_rules::NoUid(uid);
  return MarkDeleted(db, found->id, now);
}

absl::Status SetTag(Connection& db, absl::string_view name, absl::string_view tag, absl::string_view uid,
                    const std::optional<std::string>& expected_uid) {
  CAIRN_RETURN_IF_ERROR(registry_rules::CheckSettableTag(tag));
  CAIRN_ASSIGN_OR_RETURN(const std::optional<Found> found, FindByUid(db, uid));
  // A tag is within a name, so a checkpoint of another name is as good as none.
  if (!found.has_value() || found->deleted || found->name != name) return registry_rules::NoUid(uid);
  if (expected_uid.has_value()) {
    CAIRN_ASSIGN_OR_RETURN(Statement select,
                           db.Prepare("SELECT c.uid FROM tags t JOIN checkpoints c ON c.id = t.checkpoint "
                                      "WHERE t.name = ?1 AND t.tag = ?2"));
    CAIRN_ASSIGN_OR_RETURN(const bool exists, select.Bind(name, tag).Step());
    const std::string had = exists ? select.Text(0) : "";
    if (had != *expected_uid) return registry_rules::TagMoved(name, tag, *expected_uid, had);
  }
  return db.Run(
      "INSERT INTO tags (name, tag, checkpoint) VALUES (?1, ?2, ?3) "
      "ON CONFLICT (name, tag) DO UPDATE SET checkpoint = excluded.checkpoint",
      name, tag, found->id);
}

absl::Status DeleteTag(Connection& db, absl::string_view name, absl::string_view tag) {
  CAIRN_RETURN_IF_ERROR(db.Run("DELETE FROM tags WHERE name = ?1 AND tag = ?2", name, tag));
  return db.changes() == 0 ? registry_rules::NoTag(name, tag) : absl::OkStatus();
}

absl::Status PinCheckpoint(Connection& db, absl::string_view uid, absl::string_view holder,
                           absl::Time expires_at) {
  CAIRN_ASSIGN_OR_RETURN(const std::optional<Found> found, FindByUid(db, uid));
  if (!found.has_value()) return registry_rules::NoUid(uid);
  if (found->deleted) {
    CAIRN_RETURN_IF_ERROR(db.Run("UPDATE pins SET expires_at = ?3 WHERE checkpoint = ?1 AND holder = ?2",
                                 found->id, holder, expires_at));
    return db.changes() == 0 ? registry_rules::NoUid(uid) : absl::OkStatus();
  }
  return db.Run(
      "INSERT INTO pins (checkpoint, holder, expires_at) VALUES (?1, ?2, ?3) "
      "ON CONFLICT (checkpoint, holder) DO UPDATE SET expires_at = excluded.expires_at",
      found->id, holder, expires_at);
}

absl::Status UnpinCheckpoint(Connection& db, absl::string_view uid, absl::string_view holder) {
  return db.Run(
      "DELETE FROM pins WHERE checkpoint = (SELECT id FROM checkpoints WHERE uid = ?1) AND holder = ?2", uid,
      holder);
}

}  // namespace cairn::sqlite
