#include "server/registry/sqlite_parts.h"

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "server/registry/registry_rules.h"
#include "server/registry/sqlite_sessions.h"

namespace cairn::sqlite {
namespace {

// Is this the part that the session has already: an answer that was lost, and the call made again?
absl::StatusOr<bool> IsRecordedPart(Connection& db, const SessionHead& session, const SessionPart& part) {
  CAIRN_ASSIGN_OR_RETURN(
      Statement select,
      db.Prepare("SELECT 1 FROM session_parts WHERE session = ?1 AND writer = ?2 AND object_key = ?3 "
                 "AND object_bytes = ?4 AND record = ?5"));
  return select.Bind(session.id, part.writer, part.object_key, part.object_bytes, Blob{part.record}).Step();
}

absl::Status InsertExtents(Connection& db, int64_t object, absl::Span<const NewExtent> extents) {
  // In the order of the table, so that neighbours share a page.
  std::vector<const NewExtent*> sorted;
  sorted.reserve(extents.size());
  for (const NewExtent& extent : extents) sorted.push_back(&extent);
  std::sort(sorted.begin(), sorted.end(),
            [](const NewExtent* a, const NewExtent* b) { return a->digest < b->digest; });
  CAIRN_ASSIGN_OR_RETURN(
      Statement insert,
      db.Prepare("INSERT INTO extents (digest, object, offset, stored_bytes, raw_bytes, encoding) "
                 "VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (digest) DO NOTHING"));
  for (const NewExtent* extent : sorted) {
    CAIRN_RETURN_IF_ERROR(insert
                              .Bind(Blob{extent->digest.AsBytes()}, object, extent->offset,
                                    extent->stored_bytes, extent->raw_bytes, extent->encoding)
                              .Run());
  }
  return absl::OkStatus();
}

// Looks the digests up for a session. `unclaimed` becomes the found objects that it does not need yet.
absl::StatusOr<ExtentLocations> FindExtents(Connection& db, int64_t session, absl::Span<const Digest> digests,
                                            std::set<int64_t>& unclaimed) {
  CAIRN_ASSIGN_OR_RETURN(
      Statement select,
      db.Prepare("SELECT o.key, e.offset, e.stored_bytes, e.raw_bytes, e.encoding, o.id, "
                 "EXISTS (SELECT 1 FROM session_objects n WHERE n.session = ?1 AND n.object = o.id) "
                 "FROM extents e JOIN objects o ON o.id = e.object WHERE e.digest = ?2 AND o.condemned = 0"));
  ExtentLocations locations;
  locations.reserve(digests.size());
  for (const Digest& digest : digests) {
    CAIRN_ASSIGN_OR_RETURN(const bool found, select.Bind(session, Blob{digest.AsBytes()}).Step());
    if (!found) {
      locations.push_back(std::nullopt);
      continue;
    }
    locations.push_back(ExtentLocation{.object_key = select.Text(0),
                                       .offset = select.Uint(1),
                                       .stored_bytes = static_cast<uint32_t>(select.Int(2)),
                                       .raw_bytes = static_cast<uint32_t>(select.Int(3)),
                                       .encoding = static_cast<uint8_t>(select.Int(4))});
    if (!select.Bool(6)) unclaimed.insert(select.Int(5));
  }
  return locations;
}

// Which of these objects are there and not condemned. `unclaimed` becomes those that the session does not need yet.
absl::StatusOr<std::vector<bool>> FindObjects(Connection& db, int64_t session, absl::Span<const std::string> keys,
                                              std::set<int64_t>& unclaimed) {
  CAIRN_ASSIGN_OR_RETURN(
      Statement select,
      db.Prepare("SELECT o.id, EXISTS (SELECT 1 FROM session_objects n WHERE n.session = ?1 AND n.object = o.id) "
                 "FROM objects o WHERE o.key = ?2 AND o.condemned = 0"));
  std::vector<bool> there;
  there.reserve(keys.size());
  for (const std::string& key : keys) {
    CAIRN_ASSIGN_OR_RETURN(const bool found, select.Bind(session, key).Step());
    there.push_back(found);
    if (found && !select.Bool(1)) unclaimed.insert(select.Int(0));
  }
  return there;
}

absl::Status NeedObjects(Connection& db, int64_t session, const std::set<int64_t>& objects) {
  CAIRN_ASSIGN_OR_RETURN(Statement insert,
                         db.Prepare("INSERT INTO session_objects (session, object) VALUES (?1, ?2)"));
  for (const int64_t object : objects) CAIRN_RETURN_IF_ERROR(insert.Bind(session, object).Run());
  return absl::OkStatus();
}

}  // namespace

absl::Status RecordPart(Connection& db, absl::string_view session_id, const SessionPart& part,
                        absl::Span<const NewExtent> extents, absl::Time now) {
  CAIRN_RETURN_IF_ERROR(registry_rules::CheckPart(part, extents.size()));
  CAIRN_ASSIGN_OR_RETURN(const SessionHead session, FindOpenSession(db, session_id));
  CAIRN_RETURN_IF_ERROR(registry_rules::CheckWriter(session_id, part.writer, session.writers));
  CAIRN_ASSIGN_OR_RETURN(const bool finished, WriterHasFinished(db, session, part.writer));
  if (finished) return registry_rules::WriterFinished(session_id, part.writer);
  CAIRN_RETURN_IF_ERROR(RenewLease(db, session, now));

  if (!part.object_key.empty()) {
    CAIRN_RETURN_IF_ERROR(
        db.Run("INSERT INTO objects (key, bytes) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING",
               part.object_key, part.object_bytes));
    if (db.changes() == 0) {
      CAIRN_ASSIGN_OR_RETURN(const bool again, IsRecordedPart(db, session, part));
      return again ? absl::OkStatus() : registry_rules::ObjectRecordedAlready(part.object_key);
    }
    const int64_t object = db.last_insert_id();
    CAIRN_RETURN_IF_ERROR(
        db.Run("INSERT INTO session_objects (session, object) VALUES (?1, ?2)", session.id, object));
    CAIRN_RETURN_IF_ERROR(InsertExtents(db, object, extents));
  }
  return db.Run(
      "INSERT INTO session_parts (session, writer, object_key, object_bytes, record) VALUES (?1, ?2, ?3, ?4, "
      "?5)",
      session.id, part.writer, part.object_key, part.object_bytes, Blob{part.record});
}

absl::StatusOr<std::vector<SessionPart>> ListParts(Connection& db, absl::string_view session_id,
                                                   std::optional<uint32_t> writer, uint64_t start,
                                                   size_t limit) {
  CAIRN_ASSIGN_OR_RETURN(const SessionHead session, FindSession(db, session_id));
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  const uint64_t rows = std::min<uint64_t>(limit, kMost);
  const uint64_t offset = std::min(start, kMost);
  CAIRN_ASSIGN_OR_RETURN(
      Statement select,
      db.Prepare(writer.has_value() ? "SELECT writer, object_key, object_bytes, record FROM session_parts "
                                      "WHERE session = ?1 AND writer = ?4 ORDER BY seq LIMIT ?2 OFFSET ?3"
                                    : "SELECT writer, object_key, object_bytes, record FROM session_parts "
                                      "WHERE session = ?1 ORDER BY seq LIMIT ?2 OFFSET ?3"));
  if (writer.has_value()) {
    select.Bind(session.id, rows, offset, *writer);
  } else {
    select.Bind(session.id, rows, offset);
  }
  std::vector<SessionPart> parts;
  for (;;) {
    CAIRN_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return parts;
    parts.push_back(SessionPart{.writer = static_cast<uint32_t>(select.Int(0)),
                                .object_key = select.Text(1),
                                .object_bytes = select.Uint(2),
                                .record = select.Text(3)});
  }
}

absl::StatusOr<uint64_t> CountParts(Connection& db, int64_t session) {
  CAIRN_ASSIGN_OR_RETURN(Statement select,
                         db.Prepare("SELECT count(*) FROM session_parts WHERE session = ?1"));
  CAIRN_RETURN_IF_ERROR(select.Bind(session).Step().status());
  return select.Uint(0);
}

absl::StatusOr<std::optional<ExtentLocations>> FindClaimedExtents(Connection& db,
                                                                  absl::string_view session_id,
                                                                  absl::Span<const Digest> digests) {
  CAIRN_ASSIGN_OR_RETURN(const SessionHead session, FindOpenSession(db, session_id));
  std::set<int64_t> unclaimed;
  CAIRN_ASSIGN_OR_RETURN(ExtentLocations locations, FindExtents(db, session.id, digests, unclaimed));
  if (!unclaimed.empty()) return std::optional<ExtentLocations>();
  return std::optional<ExtentLocations>(std::move(locations));
}

absl::StatusOr<ExtentLocations> ClaimExtents(Connection& db, absl::string_view session_id,
                                             absl::Span<const Digest> digests) {
  CAIRN_ASSIGN_OR_RETURN(const SessionHead session, FindOpenSession(db, session_id));
  std::set<int64_t> unclaimed;
  CAIRN_ASSIGN_OR_RETURN(ExtentLocations locations, FindExtents(db, session.id, digests, unclaimed));
  CAIRN_RETURN_IF_ERROR(NeedObjects(db, session.id, unclaimed));
  return locations;
}

absl::StatusOr<std::optional<std::vector<bool>>> FindClaimedObjects(Connection& db, absl::string_view session_id,
                                                                    absl::Span<const std::string> object_keys) {
  CAIRN_ASSIGN_OR_RETURN(const SessionHead session, FindOpenSession(db, session_id));
  std::set<int64_t> unclaimed;
  CAIRN_ASSIGN_OR_RETURN(std::vector<bool> there, FindObjects(db, session.id, object_keys, unclaimed));
  if (!unclaimed.empty()) return std::optional<std::vector<bool>>();
  return std::optional<std::vector<bool>>(std::move(there));
}

absl::StatusOr<std::vector<bool>> ClaimObjects(Connection& db, absl::string_view session_id,
                                               absl::Span<const std::string> object_keys) {
  CAIRN_ASSIGN_OR_RETURN(const SessionHead session, FindOpenSession(db, session_id));
  std::set<int64_t> unclaimed;
  CAIRN_ASSIGN_OR_RETURN(std::vector<bool> there, FindObjects(db, session.id, object_keys, unclaimed));
  CAIRN_RETURN_IF_ERROR(NeedObjects(db, session.id, unclaimed));
  return there;
}

}  // namespace cairn::sqlite
