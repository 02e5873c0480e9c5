#include "server/registry/sqlite_registry.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/registry/sqlite_checkpoints.h"
#include "server/registry/sqlite_commit.h"
#include "server/registry/sqlite_garbage.h"
#include "server/registry/sqlite_parts.h"
#include "server/registry/sqlite_pool.h"
#include "server/registry/sqlite_sessions.h"

namespace cairn {
namespace {

using sqlite::Connection;

// Gives each method its transaction. What happens inside is in sqlite_*.cc, by theme.
class SqliteRegistry final : public Registry {
 public:
  explicit SqliteRegistry(std::unique_ptr<sqlite::Pool> pool) : pool_(std::move(pool)) {}

  absl::StatusOr<Session> BeginSession(absl::string_view new_id, const SessionSpec& spec,
                                       absl::Time now) override {
    return pool_->Write([&](Connection& db) { return sqlite::BeginSession(db, new_id, spec, now); });
  }

  absl::StatusOr<Session> GetSession(absl::string_view id) override {
    return pool_->Read([&](Connection& db) { return sqlite::GetSession(db, id); });
  }

  absl::StatusOr<Session> GetSessionByKey(absl::string_view client_key) override {
    return pool_->Read([&](Connection& db) { return sqlite::GetSessionByKey(db, client_key); });
  }

  absl::Status RenewSession(absl::string_view id, absl::Time now) override {
    return pool_->Write([&](Connection& db) { return sqlite::RenewSession(db, id, now); });
  }

  absl::Status RecordPart(absl::string_view session_id, const SessionPart& part,
                          absl::Span<const NewExtent> extents, absl::Time now) override {
    return pool_->Write(
        [&](Connection& db) { return sqlite::RecordPart(db, session_id, part, extents, now); });
  }

  absl::StatusOr<std::vector<SessionPart>> ListParts(absl::string_view session_id,
                                                     std::optional<uint32_t> writer, uint64_t start,
                                                     size_t limit) override {
    return pool_->Read(
        [&](Connection& db) { return sqlite::ListParts(db, session_id, writer, start, limit); });
  }

  absl::StatusOr<std::vector<std::optional<ExtentLocation>>> ClaimExtents(
      absl::string_view session_id, absl::Span<const Digest> digests) override {
    // Most questions are about bytes that nobody has, and need not wait for the one that writes.
    CAIRN_ASSIGN_OR_RETURN(std::optional<sqlite::ExtentLocations> claimed, pool_->Read([&](Connection& db) {
      return sqlite::FindClaimedExtents(db, session_id, digests);
    }));
    if (claimed.has_value()) return *std::move(claimed);
    return pool_->Write([&](Connection& db) { return sqlite::ClaimExtents(db, session_id, digests); });
  }

  absl::StatusOr<std::vector<bool>> ClaimObjects(absl::string_view session_id,
                                                 absl::Span<const std::string> object_keys) override {
    CAIRN_ASSIGN_OR_RETURN(std::optional<std::vector<bool>> claimed, pool_->Read([&](Connection& db) {
      return sqlite::FindClaimedObjects(db, session_id, object_keys);
    }));
    if (claimed.has_value()) return *std::move(claimed);
    return pool_->Write([&](Connection& db) { return sqlite::ClaimObjects(db, session_id, object_keys); });
  }

  absl::StatusOr<Session> FinishWriter(absl::string_view session_id, uint32_t writer,
                                       absl::Time now) override {
    return pool_->Write([&](Connection& db) { return sqlite::FinishWriter(db, session_id, writer, now); });
  }

  absl::StatusOr<CheckpointRow> CommitSession(absl::string_view session_id, const CheckpointRow& row,
                                              absl::Span<const std::string> objects, uint64_t part_count,
                                              absl::Time now) override {
    return pool_->Write(
        [&](Connection& db) { return sqlite::CommitSession(db, session_id, row, objects, part_count, now); });
  }

  absl::Status AbortSession(absl::string_view session_id, absl::Time now) override {
    return pool_->Write([&](Connection& db) { return sqlite::AbortSession(db, session_id, now); });
  }

  absl::StatusOr<std::vector<std::string>> ExpireSessions(absl::Time now) override {
    return pool_->Write([&](Connection& db) { return sqlite::ExpireSessions(db, now); });
  }

  absl::StatusOr<std::vector<Session>> ListOpenSessions() override {
    return pool_->Read([](Connection& db) { return sqlite::ListOpenSessions(db); });
  }

  absl::Status ForgetEndedSessions(absl::Time before) override {
    return pool_->Write([&](Connection& db) { return sqlite::ForgetEndedSessions(db, before); });
  }

  absl::StatusOr<CheckpointRow> GetCheckpoint(absl::string_view name, std::optional<int64_t> step,
                                              absl::string_view tag) override {
    return pool_->Read([&](Connection& db) { return sqlite::GetCheckpoint(db, name, step, tag); });
  }

  absl::StatusOr<CheckpointRow> GetCheckpointByUid(absl::string_view uid) override {
    return pool_->Read([&](Connection& db) { return sqlite::GetCheckpointByUid(db, uid); });
  }

  absl::StatusOr<CheckpointRow> GetCheckpointBelow(absl::string_view name, int64_t step) override {
    return pool_->Read([&](Connection& db) { return sqlite::GetCheckpointBelow(db, name, step); });
  }

  absl::StatusOr<std::vector<CheckpointRow>> ListCheckpoints(const CheckpointFilter& filter,
                                                             absl::string_view after_name, int64_t after_step,
                                                             size_t limit) override {
    return pool_->Read(
        [&](Connection& db) { return sqlite::ListCheckpoints(db, filter, after_name, after_step, limit); });
  }

  absl::Status DeleteCheckpoint(absl::string_view uid, absl::Time now) override {
    return pool_->Write([&](Connection& db) { return sqlite::DeleteCheckpoint(db, uid, now); });
  }

  absl::Status SetTag(absl::string_view name, absl::string_view tag, absl::string_view uid,
                      std::optional<std::string> expected_uid) override {
    return pool_->Write([&](Connection& db) { return sqlite::SetTag(db, name, tag, uid, expected_uid); });
  }

  absl::Status DeleteTag(absl::string_view name, absl::string_view tag) override {
    return pool_->Write([&](Connection& db) { return sqlite::DeleteTag(db, name, tag); });
  }

  absl::Status PinCheckpoint(absl::string_view uid, absl::string_view holder,
                             absl::Time expires_at) override {
    return pool_->Write([&](Connection& db) { return sqlite::PinCheckpoint(db, uid, holder, expires_at); });
  }

  absl::Status UnpinCheckpoint(absl::string_view uid, absl::string_view holder) override {
    return pool_->Write([&](Connection& db) { return sqlite::UnpinCheckpoint(db, uid, holder); });
  }

  absl::StatusOr<uint64_t> PurgeDeleted(absl::Time now) override {
    return pool_->Write([&](Connection& db) { return sqlite::PurgeDeleted(db, now); });
  }

  absl::StatusOr<std::vector<Garbage>> CondemnObjects(size_t limit) override {
    // The search walks all objects, so it must not hold up the ones that write. What it found is looked at
    // again.
    CAIRN_ASSIGN_OR_RETURN(sqlite::GarbageSearch search,
                           pool_->Read([&](Connection& db) { return sqlite::FindGarbage(db, limit); }));
    if (search.not_condemned.empty()) return std::move(search.garbage);
    return pool_->Write([&](Connection& db) { return sqlite::CondemnFound(db, std::move(search)); });
  }

  absl::StatusOr<GarbageForecast> ForecastGarbage(absl::Time now) override {
    return pool_->Read([&](Connection& db) { return sqlite::ForecastGarbage(db, now); });
  }

  absl::Status ForgetObjects(absl::Span<const std::string> object_keys) override {
    return pool_->Write([&](Connection& db) { return sqlite::ForgetObjects(db, object_keys); });
  }

  absl::StatusOr<std::vector<bool>> KnowsObjects(absl::Span<const std::string> object_keys) override {
    return pool_->Read([&](Connection& db) { return sqlite::KnowsObjects(db, object_keys); });
  }

  absl::StatusOr<bool> AcquireLease(absl::string_view lease, absl::string_view holder, absl::Time now,
                                    absl::Duration length) override {
    return pool_->Write([&](Connection& db) { return sqlite::AcquireLease(db, lease, holder, now, length); });
  }

  absl::Status ReleaseLease(absl::string_view lease, absl::string_view holder) override {
    return pool_->Write([&](Connection& db) { return sqlite::ReleaseLease(db, lease, holder); });
  }

  absl::StatusOr<Totals> GetTotals() override {
    return pool_->Read([](Connection& db) { return sqlite::GetTotals(db); });
  }

  std::string Describe() const override { return absl::StrCat("SQLite ", pool_->path()); }

 private:
  const std::unique_ptr<sqlite::Pool> pool_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Registry>> OpenSqliteRegistry(SqliteRegistryOptions options) {
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<sqlite::Pool> pool,
                         sqlite::Pool::Open({.path = std::move(options.path),
                                             .durable = options.durable,
                                             .busy_timeout = options.busy_timeout}));
  return std::make_unique<SqliteRegistry>(std::move(pool));
}

}  // namespace cairn
