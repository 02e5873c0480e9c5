#include "server/registry/sqlite_pool.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/registry/sqlite_schema.h"

namespace cairn::sqlite {
namespace {

// Reads are short, so a few connections keep all threads of the registry pool busy.
constexpr int kReaders = 4;

absl::StatusOr<std::unique_ptr<Connection>> OpenWriter(const PoolOptions& options) {
  CAIRN_ASSIGN_OR_RETURN(
      std::unique_ptr<Connection> writer,
      Connection::Open({.path = options.path, .create = true, .busy_timeout = options.busy_timeout}));
  {
    // Before anything is changed in a file that may not be ours.
    CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<Transaction> transaction,
                           Transaction::Begin(*writer, Transaction::Kind::kRead));
    CAIRN_RETURN_IF_ERROR(CheckSchema(*writer));
  }
  {
    CAIRN_ASSIGN_OR_RETURN(Statement mode, writer->Prepare("PRAGMA journal_mode = WAL"));
    CAIRN_ASSIGN_OR_RETURN(const bool row, mode.Step());
    if (!row || mode.Bytes(0) != "wal") {
      return absl::FailedPreconditionError(
          absl::StrCat("registry database ", options.path,
                       ": its file system does not allow a write-ahead log (journal mode is ",
                       row ? mode.Bytes(0) : "unknown", "); put it on a local disk"));
    }
  }
  // FULL syncs the log at each commit: a commit that was answered outlives a power failure. NORMAL may lose
  // the last ones, but never tears one. The log is cut back after a burst, and the cache holds the inner
  // pages of the extents.
  CAIRN_RETURN_IF_ERROR(
      writer->RunScript(absl::StrCat("PRAGMA synchronous = ", options.durable ? "FULL" : "NORMAL",
                                     "; PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -65536")));
  CAIRN_RETURN_IF_ERROR(MigrateSchema(*writer));
  return writer;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pool>> Pool::Open(const PoolOptions& options) {
  if (options.path.empty() || options.path == ":memory:") {
    return absl::InvalidArgumentError(
        absl::StrCat("registry database: the path \"", options.path, "\" names no file"));
  }
  // Two processes that turn a new file to WAL at once can block each other without SQLite waiting.
  const absl::Time deadline = absl::Now() + options.busy_timeout;
  absl::StatusOr<std::unique_ptr<Connection>> writer = OpenWriter(options);
  while (absl::IsUnavailable(writer.status()) && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(10));
    writer = OpenWriter(options);
  }
  CAIRN_RETURN_IF_ERROR(writer.status());

  std::unique_ptr<Pool> pool(new Pool(options.path));
  absl::MutexLock writer_lock(&pool->writer_mu_);
  pool->writer_ = *std::move(writer);
  absl::MutexLock readers_lock(&pool->readers_mu_);
  for (int i = 0; i < kReaders; ++i) {
    CAIRN_ASSIGN_OR_RETURN(
        std::unique_ptr<Connection> reader,
        Connection::Open({.path = options.path, .query_only = true, .busy_timeout = options.busy_timeout}));
    pool->readers_.push_back(std::move(reader));
  }
  return pool;
}

Pool::Reader::Reader(Pool& pool) : pool_(pool) {
  absl::MutexLock lock(&pool_.readers_mu_, absl::Condition(&pool_, &Pool::HasIdleReader));
  connection_ = std::move(pool_.readers_.back());
  pool_.readers_.pop_back();
}

Pool::Reader::~Reader() {
  absl::MutexLock lock(&pool_.readers_mu_);
  pool_.readers_.push_back(std::move(connection_));
}

}  // namespace cairn::sqlite
