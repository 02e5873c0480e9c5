#include "server/registry/sqlite_garbage.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/base/status_macros.h"

namespace cairn::sqlite {

absl::StatusOr<uint64_t> PurgeDeleted(Connection& db, absl::Time now) {
  // Pins that are over hold nothing, whatever they are on, and nobody else clears up after a reader that
  // died.
  CAIRN_RETURN_IF_ERROR(db.Run("DELETE FROM pins WHERE expires_at <= ?1", now));
  CAIRN_RETURN_IF_ERROR(
      db.Run("DELETE FROM checkpoints WHERE deleted_at IS NOT NULL "
             "AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.checkpoint = checkpoints.id)"));
  return static_cast<uint64_t>(db.changes());
}

absl::StatusOr<Registry::GarbageForecast> ForecastGarbage(Connection& db, absl::Time now) {
#define CAIRN_PINNED "EXISTS (SELECT 1 FROM pins p WHERE p.checkpoint = c.id AND p.expires_at > ?1)"
  CAIRN_ASSIGN_OR_RETURN(
      Statement select,
      db.Prepare("SELECT (SELECT count(*) FROM sessions WHERE ended_at IS NULL AND expires_at <= ?1), "
                 "(SELECT count(*) FROM checkpoints c WHERE c.deleted_at IS NOT NULL AND NOT " CAIRN_PINNED "), "
                 "count(*), coalesce(sum(o.bytes), 0) FROM objects o WHERE o.condemned = 1 OR ("
                 "NOT EXISTS (SELECT 1 FROM checkpoint_objects n JOIN checkpoints c ON c.id = n.checkpoint "
                 "WHERE n.object = o.id AND (c.deleted_at IS NULL OR " CAIRN_PINNED ")) "
                 "AND NOT EXISTS (SELECT 1 FROM session_objects n JOIN sessions s ON s.id = n.session "
                 "WHERE n.object = o.id AND s.expires_at > ?1))"));
#undef CAIRN_PINNED
  CAIRN_RETURN_IF_ERROR(select.Bind(now).Step().status());
  return Registry::GarbageForecast{.sessions = select.Uint(0),
                                   .checkpoints = select.Uint(1),
                                   .objects = select.Uint(2),
                                   .bytes = select.Uint(3)};
}

absl::StatusOr<GarbageSearch> FindGarbage(Connection& db, size_t limit) {
  GarbageSearch search;
  const auto read = [&](const char* sql, bool condemned) -> absl::Status {
    const uint64_t wanted =
        std::min<uint64_t>(limit - search.garbage.size(), std::numeric_limits<int64_t>::max());
    CAIRN_ASSIGN_OR_RETURN(Statement select, db.Prepare(sql));
    select.Bind(wanted);
    for (;;) {
      CAIRN_ASSIGN_OR_RETURN(const bool row, select.Step());
      if (!row) return absl::OkStatus();
      search.garbage.push_back({.object_key = select.Text(1), .bytes = select.Uint(2)});
      if (!condemned) search.not_condemned.push_back(select.Int(0));
    }
  };
  CAIRN_RETURN_IF_ERROR(read("SELECT id, key, bytes FROM objects WHERE condemned = 1 ORDER BY id LIMIT ?1",
                             /*condemned=*/true));
  if (search.garbage.size() < limit) {
    CAIRN_RETURN_IF_ERROR(
        read("SELECT id, key, bytes FROM objects o WHERE condemned = 0 "
             "AND NOT EXISTS (SELECT 1 FROM checkpoint_objects c WHERE c.object = o.id) "
             "AND NOT EXISTS (SELECT 1 FROM session_objects s WHERE s.object = o.id) ORDER BY id LIMIT ?1",
             /*condemned=*/false));
  }
  return search;
}

absl::StatusOr<std::vector<Registry::Garbage>> CondemnFound(Connection& db, GarbageSearch search) {
  CAIRN_ASSIGN_OR_RETURN(Statement condemn,
                         db.Prepare("UPDATE objects SET condemned = 1 WHERE id = ?1 AND key = ?2 "
                                    "AND NOT EXISTS (SELECT 1 FROM checkpoint_objects c WHERE c.object = ?1) "
                                    "AND NOT EXISTS (SELECT 1 FROM session_objects s WHERE s.object = ?1)"));
  CAIRN_ASSIGN_OR_RETURN(Statement delete_extents, db.Prepare("DELETE FROM extents WHERE object = ?1"));
  const size_t before = search.garbage.size() - search.not_condemned.size();
  size_t kept = before;
  for (size_t i = 0; i < search.not_condemned.size(); ++i) {
    const int64_t object = search.not_condemned[i];
    // The key too, because the row id of a forgotten object may be another's by now.
    CAIRN_RETURN_IF_ERROR(condemn.Bind(object, search.garbage[before + i].object_key).Run());
    if (db.changes() == 0) continue;
    CAIRN_RETURN_IF_ERROR(delete_extents.Bind(object).Run());
    std::swap(search.garbage[kept++], search.garbage[before + i]);
  }
  search.garbage.resize(kept);
  return std::move(search.garbage);
}

absl::Status ForgetObjects(Connection& db, absl::Span<const std::string> object_keys) {
  CAIRN_ASSIGN_OR_RETURN(Statement forget,
                         db.Prepare("DELETE FROM objects WHERE key = ?1 AND condemned = 1"));
  for (const std::string& key : object_keys) CAIRN_RETURN_IF_ERROR(forget.Bind(key).Run());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<bool>> KnowsObjects(Connection& db, absl::Span<const std::string> object_keys) {
  CAIRN_ASSIGN_OR_RETURN(Statement select, db.Prepare("SELECT 1 FROM objects WHERE key = ?1"));
  std::vector<bool> known;
  known.reserve(object_keys.size());
  for (const std::string& key : object_keys) {
    CAIRN_ASSIGN_OR_RETURN(const bool found, select.Bind(key).Step());
    known.push_back(found);
  }
  return known;
}

absl::StatusOr<bool> AcquireLease(Connection& db, absl::string_view lease, absl::string_view holder,
                                  absl::Time now, absl::Duration length) {
  CAIRN_RETURN_IF_ERROR(
      db.Run("INSERT INTO leases (lease, holder, expires_at) VALUES (?1, ?2, ?3) "
             "ON CONFLICT (lease) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at "
             "WHERE leases.holder = excluded.holder OR leases.expires_at <= ?4",
             lease, holder, now + length, now));
  return db.changes() == 1;
}

absl::Status ReleaseLease(Connection& db, absl::string_view lease, absl::string_view holder) {
  return db.Run("DELETE FROM leases WHERE lease = ?1 AND holder = ?2", lease, holder);
}

absl::StatusOr<Registry::Totals> GetTotals(Connection& db) {
  CAIRN_ASSIGN_OR_RETURN(
      Statement select,
      db.Prepare("SELECT (SELECT count(*) FROM checkpoints WHERE deleted_at IS NULL), "
                 "(SELECT count(*) FROM sessions WHERE ended_at IS NULL), "
                 "(SELECT count(*) FROM objects), (SELECT coalesce(sum(bytes), 0) FROM objects), "
                 "(SELECT coalesce(sum(logical_bytes), 0) FROM checkpoints WHERE deleted_at IS NULL)"));
  CAIRN_RETURN_IF_ERROR(select.Step().status());
  return Registry::Totals{.checkpoints = select.Uint(0),
                          .open_sessions = select.Uint(1),
                          .objects = select.Uint(2),
                          .object_bytes = select.Uint(3),
                          .logical_bytes = select.Uint(4)};
}

}  // namespace cairn::sqlite
