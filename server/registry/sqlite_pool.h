#pragma once

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/status_macros.h"
#include "server/registry/sqlite_db.h"

namespace cairn::sqlite {

struct PoolOptions {
  std::string path;
  bool durable = true;
  absl::Duration busy_timeout = absl::Seconds(10);
};

// The connections of one process to one registry: one that writes, and a few that read the last committed
// state while it does. Thread-safe.
class Pool {
 public:
  // Makes or migrates the database.
  static absl::StatusOr<std::unique_ptr<Pool>> Open(const PoolOptions& options);

  // Runs `body(Connection&)`, which gives a Status or a StatusOr, in one transaction. A write is committed if
  // the body's result is OK, and undone otherwise.
  template <typename Body>
  std::invoke_result_t<Body, Connection&> Write(Body&& body) ABSL_LOCKS_EXCLUDED(writer_mu_) {
    absl::MutexLock lock(&writer_mu_);
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Transaction> transaction,
                           Transaction::Begin(*writer_, Transaction::Kind::kWrite));
    auto result = body(*writer_);
    if (result.ok()) CAIRN_RETURN_IF_ERROR(transaction->Commit());
    return result;
  }

  // What it reads is one moment's state.
  template <typename Body>
  std::invoke_result_t<Body, Connection&> Read(Body&& body) ABSL_LOCKS_EXCLUDED(readers_mu_) {
    const Reader reader(*this);
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Transaction> transaction,
                           Transaction::Begin(reader.connection(), Transaction::Kind::kRead));
    return body(reader.connection());
  }

  const std::string& path() const { return path_; }

 private:
  // A reading connection, lent.
  class Reader {
   public:
    explicit Reader(Pool& pool);
    ~Reader();
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    Connection& connection() const { return *connection_; }

   private:
    Pool& pool_;
    std::unique_ptr<Connection> connection_;
  };

  explicit Pool(std::string path) : path_(std::move(path)) {}
  bool HasIdleReader() const ABSL_SHARED_LOCKS_REQUIRED(readers_mu_) { return !readers_.empty(); }

  const std::string path_;
  absl::Mutex writer_mu_;
  std::unique_ptr<Connection> writer_ ABSL_GUARDED_BY(writer_mu_);
  absl::Mutex readers_mu_;
  std::vector<std::unique_ptr<Connection>> readers_ ABSL_GUARDED_BY(readers_mu_);
};

}  // namespace cairn::sqlite
