#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/registry/registry.h"
#include "server/registry/sqlite_db.h"

// The life of save sessions. Each function runs inside a transaction of its caller's, a write unless it only
// gets or lists, and does what the Registry method of its name promises.
namespace cairn::sqlite {

// What other statements about a session need of it.
struct SessionHead {
  int64_t id = 0;  // Of the row.
  std::string name;
  int64_t step = 0;
  uint32_t writers = 0;
  bool overwrite = false;
  absl::Duration lease;
  SessionState state = SessionState::kOpen;
  std::string checkpoint_uid;
};

// NOT_FOUND.
absl::StatusOr<SessionHead> FindSession(Connection& db, absl::string_view id);
// FAILED_PRECONDITION too unless it is open.
absl::StatusOr<SessionHead> FindOpenSession(Connection& db, absl::string_view id);
absl::StatusOr<bool> WriterHasFinished(Connection& db, const SessionHead& session, uint32_t writer);
absl::Status RenewLease(Connection& db, const SessionHead& session, absl::Time now);
// The session needs nothing any more. `state` says how it ended, `uid` what it became.
absl::Status EndSession(Connection& db, int64_t session, SessionState state, absl::Time ended_at,
                        absl::string_view uid);

absl::StatusOr<Session> BeginSession(Connection& db, absl::string_view new_id, const SessionSpec& spec,
                                     absl::Time now);
absl::StatusOr<Session> GetSession(Connection& db, absl::string_view id);
absl::StatusOr<Session> GetSessionByKey(Connection& db, absl::string_view client_key);
absl::Status RenewSession(Connection& db, absl::string_view id, absl::Time now);
absl::StatusOr<Session> FinishWriter(Connection& db, absl::string_view id, uint32_t writer, absl::Time now);
absl::Status AbortSession(Connection& db, absl::string_view id, absl::Time now);
absl::StatusOr<std::vector<std::string>> ExpireSessions(Connection& db, absl::Time now);
absl::StatusOr<std::vector<Session>> ListOpenSessions(Connection& db);
absl::Status ForgetEndedSessions(Connection& db, absl::Time before);

}  // namespace cairn::sqlite
