#include "server/registry/sqlite_sessions.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/registry/registry_rules.h"
#include "server/registry/sqlite_checkpoints.h"
#include "server/registry/sqlite_metadata.h"

namespace cairn::sqlite {
namespace {

#define CAIRN_SESSION_COLUMNS                                                                            \
  "SELECT id, session_id, client_key, name, step, writers, overwrite, auto_commit, parent, created_by, " \
  "lease_us, "                                                                                           \
  "options, state, created_at, expires_at, checkpoint_uid FROM sessions "

absl::StatusOr<std::vector<uint32_t>> ReadFinishedWriters(Connection& db, int64_t session) {
  CAIRN_ASSIGN_OR_RETURN(Statement select,
                         db.Prepare("SELECT writer FROM session_writers WHERE session = ?1 ORDER BY writer"));
  select.Bind(session);
  std::vector<uint32_t> writers;
  for (;;) {
    CAIRN_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return writers;
    writers.push_back(static_cast<uint32_t>(select.Int(0)));
  }
}

// The session at the row of CAIRN_SESSION_COLUMNS that `row` stands on.
absl::StatusOr<Session> ReadSession(Connection& db, const Statement& row) {
  const int64_t id = row.Int(0);
  Session session;
  session.id = row.Text(1);
  session.spec.client_key = row.Text(2);
  session.spec.name = row.Text(3);
  session.spec.step = row.Int(4);
  session.spec.writers = static_cast<uint32_t>(row.Int(5));
  session.spec.overwrite = row.Bool(6);
  session.spec.auto_commit = row.Bool(7);
  session.spec.parent = row.Text(8);
  session.spec.created_by = row.Text(9);
  session.spec.lease = registry_rules::DurationFromMicros(row.Int(10));
  session.spec.options = row.Text(11);
  session.state = static_cast<SessionState>(row.Int(12));
  session.created_at = row.Time(13);
  session.expires_at = row.Time(14);
  session.checkpoint_uid = row.Text(15);
  CAIRN_ASSIGN_OR_RETURN(session.spec.metadata, ReadMetadata(db, MetadataOwner::kSession, id));
  CAIRN_ASSIGN_OR_RETURN(session.finished_writers, ReadFinishedWriters(db, id));
  return session;
}

absl::StatusOr<std::optional<Session>> FindByClientKey(Connection& db, absl::string_view client_key) {
  CAIRN_ASSIGN_OR_RETURN(Statement select, db.Prepare(CAIRN_SESSION_COLUMNS "WHERE client_key = ?1"));
  CAIRN_ASSIGN_OR_RETURN(const bool found, select.Bind(client_key).Step());
  if (!found) return std::optional<Session>();
  CAIRN_ASSIGN_OR_RETURN(Session session, ReadSession(db, select));
  return std::optional<Session>(std::move(session));
}

}  // namespace

absl::StatusOr<SessionHead> FindSession(Connection& db, absl::string_view id) {
  CAIRN_ASSIGN_OR_RETURN(
      Statement select,
      db.Prepare("SELECT id, name, step, writers, overwrite, lease_us, state, checkpoint_uid FROM sessions "
                 "WHERE session_id = ?1"));
  CAIRN_ASSIGN_OR_RETURN(const bool found, select.Bind(id).Step());
  if (!found) return registry_rules::NoSession(id);
  SessionHead head;
  head.id = select.Int(0);
  head.name = select.Text(1);
  head.step = select.Int(2);
  head.writers = static_cast<uint32_t>(select.Int(3));
  head.overwrite = select.Bool(4);
  head.lease = registry_rules::DurationFromMicros(select.Int(5));
  head.state = static_cast<SessionState>(select.Int(6));
  head.checkpoint_uid = select.Text(7);
  return head;
}

absl::StatusOr<SessionHead> FindOpenSession(Connection& db, absl::string_view id) {
  CAIRN_ASSIGN_OR_RETURN(SessionHead head, FindSession(db, id));
  CAIRN_RETURN_IF_ERROR(registry_rules::CheckOpen(id, head.state));
  return head;
}

absl::StatusOr<bool> WriterHasFinished(Connection& db, const SessionHead& session, uint32_t writer) {
  CAIRN_ASSIGN_OR_RETURN(Statement select,
                         db.Prepare("SELECT 1 FROM session_writers WHERE session = ?1 AND writer = ?2"));
  return select.Bind(session.id, writer).Step();
}

absl::Status RenewLease(Connection& db, const SessionHead& session, absl::Time now) {
  return db.Run("UPDATE sessions SET expires_at = ?2 WHERE id = ?1", session.id, now + session.lease);
}

absl::Status EndSession(Connection& db, int64_t session, SessionState state, absl::Time ended_at,
                        absl::string_view uid) {
  CAIRN_RETURN_IF_ERROR(
      db.Run("UPDATE sessions SET state = ?2, ended_at = ?3, checkpoint_uid = ?4 WHERE id = ?1", session,
             state, ended_at, uid));
  return db.Run("DELETE FROM session_objects WHERE session = ?1", session);
}

absl::StatusOr<Session> BeginSession(Connection& db, absl::string_view new_id, const SessionSpec& spec,
                                     absl::Time now) {
  CAIRN_RETURN_IF_ERROR(registry_rules::CheckSpec(spec));
  CAIRN_ASSIGN_OR_RETURN(std::optional<Session> existing, FindByClientKey(db, spec.client_key));
  if (existing.has_value()) {
    CAIRN_RETURN_IF_ERROR(registry_rules::CheckRepeatedBegin(*existing, spec));
    return *std::move(existing);
  }
  if (!spec.overwrite) {
    CAIRN_ASSIGN_OR_RETURN(const std::optional<int64_t> taken, FindCheckpoint(db, spec.name, spec.step));
    if (taken.has_value()) return registry_rules::StepTaken(spec.name, spec.step);
  }
  CAIRN_RETURN_IF_ERROR(db.Run(
      "INSERT INTO sessions (session_id, client_key, name, step, writers, overwrite, auto_commit, parent, "
      "created_by, lease_us, options, state, created_at, expires_at) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) "
      "ON CONFLICT (session_id) DO NOTHING",
      new_id, spec.client_key, spec.name, spec.step, spec.writers, spec.overwrite, spec.auto_commit,
      spec.parent, spec.created_by, registry_rules::ToMicros(spec.lease), Blob{spec.options},
      SessionState::kOpen, now, now + spec.lease));
  if (db.changes() == 0) return registry_rules::SessionIdTaken(new_id);
  CAIRN_RETURN_IF_ERROR(WriteMetadata(db, MetadataOwner::kSession, db.last_insert_id(), spec.metadata));
  return GetSession(db, new_id);
}

absl::StatusOr<Session> GetSession(Connection& db, absl::string_view id) {
  CAIRN_ASSIGN_OR_RETURN(Statement select, db.Prepare(CAIRN_SESSION_COLUMNS "WHERE session_id = ?1"));
  CAIRN_ASSIGN_OR_RETURN(const bool found, select.Bind(id).Step());
  if (!found) return registry_rules::NoSession(id);
  return ReadSession(db, select);
}

absl::StatusOr<Session> GetSessionByKey(Connection& db, absl::string_view client_key) {
  CAIRN_ASSIGN_OR_RETURN(std::optional<Session> found, FindByClientKey(db, client_key));
  if (!found.has_value()) return registry_rules::NoSessionWithKey(client_key);
  return *std::move(found);
}

absl::Status RenewSession(Connection& db, absl::string_view id, absl::Time now) {
  CAIRN_ASSIGN_OR_RETURN(const SessionHead session, FindOpenSession(db, id));
  return RenewLease(db, session, now);
}

absl::StatusOr<Session> FinishWriter(Connection& db, absl::string_view id, uint32_t writer, absl::Time now) {
  CAIRN_ASSIGN_OR_RETURN(const SessionHead session, FindOpenSession(db, id));
  CAIRN_RETURN_IF_ERROR(registry_rules::CheckWriter(id, writer, session.writers));
  CAIRN_RETURN_IF_ERROR(
      db.Run("INSERT INTO session_writers (session, writer) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
             session.id, writer));
  CAIRN_RETURN_IF_ERROR(RenewLease(db, session, now));
  return GetSession(db, id);
}

absl::Status AbortSession(Connection& db, absl::string_view id, absl::Time now) {
  CAIRN_ASSIGN_OR_RETURN(const SessionHead session, FindSession(db, id));
  if (session.state == SessionState::kAborted || session.state == SessionState::kExpired)
    return absl::OkStatus();
  CAIRN_RETURN_IF_ERROR(registry_rules::CheckOpen(id, session.state));
  return EndSession(db, session.id, SessionState::kAborted, now, "");
}

absl::StatusOr<std::vector<std::string>> ExpireSessions(Connection& db, absl::Time now) {
  std::vector<std::pair<int64_t, std::string>> expired;
  {
    CAIRN_ASSIGN_OR_RETURN(Statement select,
                           db.Prepare("SELECT id, session_id FROM sessions WHERE ended_at IS NULL "
                                      "AND expires_at <= ?1 ORDER BY created_at, id"));
    select.Bind(now);
    for (;;) {
      CAIRN_ASSIGN_OR_RETURN(const bool row, select.Step());
      if (!row) break;
      expired.emplace_back(select.Int(0), select.Text(1));
    }
  }
  std::vector<std::string> ids;
  for (auto& [session, id] : expired) {
    CAIRN_RETURN_IF_ERROR(EndSession(db, session, SessionState::kExpired, now, ""));
    ids.push_back(std::move(id));
  }
  return ids;
}

absl::StatusOr<std::vector<Session>> ListOpenSessions(Connection& db) {
  CAIRN_ASSIGN_OR_RETURN(Statement select,
                         db.Prepare(CAIRN_SESSION_COLUMNS "WHERE ended_at IS NULL ORDER BY created_at, id"));
  std::vector<Session> sessions;
  for (;;) {
    CAIRN_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return sessions;
    CAIRN_ASSIGN_OR_RETURN(Session session, ReadSession(db, select));
    sessions.push_back(std::move(session));
  }
}

absl::Status ForgetEndedSessions(Connection& db, absl::Time before) {
  return db.Run("DELETE FROM sessions WHERE ended_at IS NOT NULL AND ended_at < ?1", before);
}

}  // namespace cairn::sqlite
