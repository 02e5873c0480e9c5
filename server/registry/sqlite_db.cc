#include "server/registry/sqlite_db.h"

#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/registry/registry_rules.h"

namespace cairn::sqlite {
namespace {

absl::StatusCode CodeOfIoError(int extended_code, int system_errno) {
  switch (system_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    default:
      break;
  }
  switch (extended_code) {
    case SQLITE_IOERR_NOMEM:
      return absl::StatusCode::kResourceExhausted;
    // What was written once cannot be read back.
    case SQLITE_IOERR_READ:
    case SQLITE_IOERR_SHORT_READ:
    case SQLITE_IOERR_DATA:
    case SQLITE_IOERR_CORRUPTFS:
      return absl::StatusCode::kDataLoss;
    // Writes, syncs and locks that failed: nothing was acknowledged, and the next attempt starts from a clean
    // state.
    default:
      return absl::StatusCode::kUnavailable;
  }
}

absl::StatusCode CodeOfResult(int extended_code, int system_errno) {
  switch (extended_code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:  // The locks of a WAL stayed contended.
      return absl::StatusCode::kUnavailable;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
      return absl::StatusCode::kPermissionDenied;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_IOERR:
      return CodeOfIoError(extended_code, system_errno);
    case SQLITE_TOOBIG:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::string_view AdviceFor(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
      return "; try again";
    case absl::StatusCode::kResourceExhausted:
      return "; free some space";
    case absl::StatusCode::kPermissionDenied:
      return "; check that the folder exists and that this user may write the file and its folder";
    case absl::StatusCode::kDataLoss:
      return "; restore it from a backup";
    default:
      return "";
  }
}

}  // namespace

absl::Status StatusOfResult(int extended_code, int system_errno, absl::string_view path,
                            absl::string_view message) {
  const absl::StatusCode code = CodeOfResult(extended_code, system_errno);
  return absl::Status(
      code, absl::StrCat("registry database ", path, ": ", message, " (SQLite code ", extended_code,
                         system_errno == 0 ? "" : absl::StrCat(", ", std::strerror(system_errno)), ")",
                         AdviceFor(code)));
}

// ---- Statement

Statement::Statement(Statement&& other) noexcept
    : connection_(other.connection_),
      home_(other.home_),
      statement_(std::exchange(other.statement_, nullptr)),
      bound_(std::move(other.bound_)) {}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  // An open read would keep its snapshot, and the bound values their memory.
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  home_->push_back(statement_);
}

void Statement::Restart() {
  sqlite3_reset(statement_);
  bound_ = absl::OkStatus();
}

void Statement::BindInteger(int index, int64_t value) {
  if (sqlite3_bind_int64(statement_, index, value) != SQLITE_OK) bound_ = connection_->LastError();
}

void Statement::BindUnsigned(int index, uint64_t value) {
  if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    bound_ = absl::InvalidArgumentError(absl::StrCat("registry database ", connection_->path(), ": ", value,
                                                     " is more than the largest number, 2^63-1"));
    return;
  }
  BindInteger(index, static_cast<int64_t>(value));
}

void Statement::BindText(int index, absl::string_view value) {
  // A null pointer would bind NULL.
  const char* data = value.data() == nullptr ? "" : value.data();
  if (sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8) !=
      SQLITE_OK) {
    bound_ = connection_->LastError();
  }
}

void Statement::BindValue(int index, const Blob& value) {
  const char* data = value.bytes.data() == nullptr ? "" : value.bytes.data();
  if (sqlite3_bind_blob64(statement_, index, data, value.bytes.size(), SQLITE_TRANSIENT) != SQLITE_OK) {
    bound_ = connection_->LastError();
  }
}

void Statement::BindValue(int index, absl::Time value) {
  BindInteger(index, registry_rules::ToMicros(value));
}

absl::StatusOr<bool> Statement::Step() {
  CAIRN_RETURN_IF_ERROR(bound_);
  switch (sqlite3_step(statement_)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      return connection_->LastError();
  }
}

absl::Status Statement::Run() {
  for (;;) {
    CAIRN_ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return absl::OkStatus();
  }
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

absl::string_view Statement::Bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? absl::string_view("") : absl::string_view(static_cast<const char*>(data), size);
}

absl::Time Statement::Time(int column) const { return registry_rules::TimeFromMicros(Int(column)); }

// ---- Connection

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const ConnectionOptions& options) {
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  if (options.create) flags |= SQLITE_OPEN_CREATE;
  sqlite3* db = nullptr;
  const int result = sqlite3_open_v2(options.path.c_str(), &db, flags, nullptr);
  if (db == nullptr) return StatusOfResult(result, 0, options.path, sqlite3_errstr(result));
  std::unique_ptr<Connection> connection(new Connection(options.path, db));
  if (result != SQLITE_OK) return connection->LastError();
  // SQLite falls back to reading alone without a word.
  if (sqlite3_db_readonly(db, "main") == 1) {
    return StatusOfResult(SQLITE_READONLY, 0, options.path, sqlite3_errstr(SQLITE_READONLY));
  }
  const int64_t timeout_ms = std::clamp<int64_t>(absl::ToInt64Milliseconds(options.busy_timeout), 0,
                                                 std::numeric_limits<int>::max());
  sqlite3_busy_timeout(db, static_cast<int>(timeout_ms));
  CAIRN_RETURN_IF_ERROR(connection->Run("PRAGMA foreign_keys = ON"));
  if (options.query_only) CAIRN_RETURN_IF_ERROR(connection->Run("PRAGMA query_only = ON"));
  return connection;
}

Connection::~Connection() {
  for (auto& [sql, statements] : idle_) {
    for (sqlite3_stmt* statement : statements) sqlite3_finalize(statement);
  }
  sqlite3_close(db_);
}

absl::StatusOr<Statement> Connection::Prepare(absl::string_view sql) {
  auto it = idle_.find(sql);
  if (it == idle_.end()) it = idle_.try_emplace(std::string(sql)).first;
  std::vector<sqlite3_stmt*>& home = it->second;
  if (!home.empty()) {
    sqlite3_stmt* statement = home.back();
    home.pop_back();
    return Statement(*this, home, statement);
  }
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement,
                         nullptr) != SQLITE_OK) {
    return LastError();
  }
  return Statement(*this, home, statement);
}

absl::Status Connection::RunScript(const std::string& sql) {
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return LastError();
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Connection::QueryInt(absl::string_view sql) {
  CAIRN_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  CAIRN_ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? statement.Int(0) : 0;
}

int64_t Connection::changes() const { return sqlite3_changes64(db_); }
int64_t Connection::last_insert_id() const { return sqlite3_last_insert_rowid(db_); }

absl::Status Connection::LastError() const {
  const int code = sqlite3_extended_errcode(db_);
  // The errno is of the last system call that failed, which is this error only for errors of the system.
  const int primary = code & 0xff;
  const bool of_system = primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN || primary == SQLITE_FULL;
  return StatusOfResult(code, of_system ? sqlite3_system_errno(db_) : 0, path_, sqlite3_errmsg(db_));
}

// ---- Transaction

absl::StatusOr<std::unique_ptr<Transaction>> Transaction::Begin(Connection& connection, Kind kind) {
  CAIRN_RETURN_IF_ERROR(connection.Run(kind == Kind::kWrite ? "BEGIN IMMEDIATE" : "BEGIN"));
  return std::unique_ptr<Transaction>(new Transaction(connection));
}

Transaction::~Transaction() {
  // Some errors (a full disk) end the transaction by themselves.
  if (sqlite3_get_autocommit(connection_.db_) == 0) connection_.Run("ROLLBACK").IgnoreError();
}

absl::Status Transaction::Commit() { return connection_.Run("COMMIT"); }

}  // namespace cairn::sqlite
