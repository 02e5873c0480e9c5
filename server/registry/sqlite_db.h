#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/container/node_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

struct sqlite3;
struct sqlite3_stmt;

// SQLite with owners, statuses and typed parameters. Knows nothing of checkpoints.
namespace cairn::sqlite {

// The contract's code for an extended result code of SQLite, with `path` in the message. `system_errno` is
// what the operating system said, or 0: it tells a full disk from a failing one.
absl::Status StatusOfResult(int extended_code, int system_errno, absl::string_view path,
                            absl::string_view message);

// Bytes that are no text.
struct Blob {
  absl::string_view bytes;
};

class Connection;

// A prepared statement, lent by its connection's cache until destroyed. Text and blobs that it gives are
// valid until the next Bind() or Step().
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Starts anew with these values for ?1, ?2, ... A value that SQLite cannot hold makes the next Step() fail.
  template <typename... Values>
  Statement& Bind(const Values&... values) {
    Restart();
    int index = 0;
    (BindValue(++index, values), ...);
    return *this;
  }

  // True: there is a row to read. False: the statement is done.
  ABSL_MUST_USE_RESULT absl::StatusOr<bool> Step();
  // For statements whose rows, if any, nobody wants.
  absl::Status Run();

  int64_t Int(int column) const;
  uint64_t Uint(int column) const { return static_cast<uint64_t>(Int(column)); }
  bool Bool(int column) const { return Int(column) != 0; }
  // Text or blob.
  absl::string_view Bytes(int column) const;
  std::string Text(int column) const { return std::string(Bytes(column)); }
  absl::Time Time(int column) const;

 private:
  friend class Connection;
  Statement(Connection& connection, std::vector<sqlite3_stmt*>& home, sqlite3_stmt* statement)
      : connection_(&connection), home_(&home), statement_(statement) {}

  void Restart();
  void BindInteger(int index, int64_t value);
  void BindUnsigned(int index, uint64_t value);
  void BindText(int index, absl::string_view value);

  template <typename T>
  void BindValue(int index, const T& value) {
    if constexpr (std::is_same_v<T, bool> || std::is_enum_v<T>) {
      BindInteger(index, static_cast<int64_t>(value));
    } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
      BindInteger(index, value);
    } else if constexpr (std::is_integral_v<T>) {
      BindUnsigned(index, value);
    } else {
      BindText(index, value);
    }
  }
  void BindValue(int index, const Blob& value);
  void BindValue(int index, absl::Time value);

  Connection* connection_;
  std::vector<sqlite3_stmt*>* home_;
  sqlite3_stmt* statement_;  // Null once moved from.
  absl::Status bound_;
};

struct ConnectionOptions {
  std::string path;
  bool create = false;      // Make the file if there is none.
  bool query_only = false;  // Refuse statements that write.
  absl::Duration busy_timeout = absl::Seconds(10);
};

// One connection to a database file. For one thread at a time.
class Connection {
 public:
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const ConnectionOptions& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Statements are kept: the same text is compiled once. A text in use already is compiled once more.
  absl::StatusOr<Statement> Prepare(absl::string_view sql);
  // Prepare, bind, run.
  template <typename... Values>
  absl::Status Run(absl::string_view sql, const Values&... values) {
    absl::StatusOr<Statement> statement = Prepare(sql);
    if (!statement.ok()) return statement.status();
    return statement->Bind(values...).Run();
  }
  // Several statements at once, without values.
  absl::Status RunScript(const std::string& sql);
  // The first column of the only row of a query, as a number.
  absl::StatusOr<int64_t> QueryInt(absl::string_view sql);

  // Rows that the last INSERT, UPDATE or DELETE touched itself (not through a cascade).
  int64_t changes() const;
  int64_t last_insert_id() const;
  const std::string& path() const { return path_; }

 private:
  friend class Statement;
  friend class Transaction;
  Connection(std::string path, sqlite3* db) : path_(std::move(path)), db_(db) {}

  absl::Status LastError() const;

  const std::string path_;
  sqlite3* const db_;
  absl::node_hash_map<std::string, std::vector<sqlite3_stmt*>> idle_;
};

// Rolls back unless committed.
class Transaction {
 public:
  // kWrite takes the write lock at once, so that nothing read inside can be out of date at the commit, and no
  // deadlock can come from two readers that both turn into writers.
  enum class Kind { kRead, kWrite };
  static absl::StatusOr<std::unique_ptr<Transaction>> Begin(Connection& connection, Kind kind);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  absl::Status Commit();

 private:
  explicit Transaction(Connection& connection) : connection_(connection) {}
  Connection& connection_;
};

}  // namespace cairn::sqlite
