#include "server/registry/sqlite_db.h"

#include <sqlite3.h>

#include <cerrno>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn::sqlite {
namespace {

using absl::StatusCode;
using cairn::testing::StatusIs;
using ::testing::HasSubstr;

class SqliteDb : public ::testing::Test {
 protected:
  std::unique_ptr<Connection> Open(absl::Duration busy_timeout = absl::ZeroDuration(),
                                   bool query_only = false) {
    auto connection = Connection::Open(
        {.path = path_, .create = true, .query_only = query_only, .busy_timeout = busy_timeout});
    CAIRN_EXPECT_OK(connection);
    return connection.ok() ? *std::move(connection) : nullptr;
  }

  cairn::testing::TempDir dir_;
  const std::string path_ = dir_ / "test.db";
};

TEST_F(SqliteDb, EveryResultHasTheCodeOfTheContract) {
  struct Case {
    int result;
    int system_errno;
    StatusCode code;
  };
  const std::vector<Case> cases = {
      {SQLITE_BUSY, 0, StatusCode::kUnavailable},
      {SQLITE_BUSY_SNAPSHOT, 0, StatusCode::kUnavailable},
      {SQLITE_LOCKED, 0, StatusCode::kUnavailable},
      {SQLITE_PROTOCOL, 0, StatusCode::kUnavailable},
      {SQLITE_FULL, 0, StatusCode::kResourceExhausted},
      {SQLITE_NOMEM, 0, StatusCode::kResourceExhausted},
      {SQLITE_READONLY, 0, StatusCode::kPermissionDenied},
      {SQLITE_READONLY_DIRECTORY, 0, StatusCode::kPermissionDenied},
      {SQLITE_PERM, 0, StatusCode::kPermissionDenied},
      {SQLITE_CANTOPEN, ENOENT, StatusCode::kPermissionDenied},
      {SQLITE_CORRUPT, 0, StatusCode::kDataLoss},
      {SQLITE_CORRUPT_INDEX, 0, StatusCode::kDataLoss},
      {SQLITE_NOTADB, 0, StatusCode::kDataLoss},
      {SQLITE_IOERR_READ, EIO, StatusCode::kDataLoss},
      {SQLITE_IOERR_SHORT_READ, 0, StatusCode::kDataLoss},
      {SQLITE_IOERR_CORRUPTFS, 0, StatusCode::kDataLoss},
      {SQLITE_IOERR_WRITE, EIO, StatusCode::kUnavailable},
      {SQLITE_IOERR_FSYNC, EIO, StatusCode::kUnavailable},
      {SQLITE_IOERR_WRITE, ENOSPC, StatusCode::kResourceExhausted},
      {SQLITE_IOERR_SHMSIZE, EDQUOT, StatusCode::kResourceExhausted},
      {SQLITE_IOERR_WRITE, EROFS, StatusCode::kPermissionDenied},
      {SQLITE_TOOBIG, 0, StatusCode::kInvalidArgument},
      {SQLITE_CONSTRAINT_UNIQUE, 0, StatusCode::kInternal},
      {SQLITE_ERROR, 0, StatusCode::kInternal},
  };
  for (const Case& c : cases) {
    EXPECT_THAT(
        StatusOfResult(c.result, c.system_errno, "/data/registry.db", "what happened"),
        StatusIs(c.code, ::testing::AllOf(HasSubstr("/data/registry.db"), HasSubstr("what happened"))))
        << c.result << " with errno " << c.system_errno;
  }
}

TEST_F(SqliteDb, ValuesComeBackAsTheyWentIn) {
  const auto db = Open();
  CAIRN_ASSERT_OK(
      db->RunScript("CREATE TABLE t (i INTEGER, u INTEGER, b INTEGER, s TEXT, x BLOB, t INTEGER)"));
  const std::string text("a\0'\xc3\xa9", 5);
  const absl::Time time = absl::FromUnixMicros(1'700'000'000'000'001);
  CAIRN_ASSERT_OK(db->Run("INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5, ?6)", int64_t{-5}, uint64_t{1} << 62,
                          true, text, Blob{text}, time));
  CAIRN_ASSERT_OK_AND_ASSIGN(Statement select, db->Prepare("SELECT i, u, b, s, x, t FROM t WHERE s = ?1"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const bool found, select.Bind(text).Step());
  ASSERT_TRUE(found);
  EXPECT_EQ(select.Int(0), -5);
  EXPECT_EQ(select.Uint(1), uint64_t{1} << 62);
  EXPECT_TRUE(select.Bool(2));
  EXPECT_EQ(select.Text(3), text);
  EXPECT_EQ(select.Text(4), text);
  EXPECT_EQ(select.Time(5), time);
}

TEST_F(SqliteDb, NothingIsBoundAsNullByAccident) {
  const auto db = Open();
  CAIRN_ASSERT_OK(db->RunScript("CREATE TABLE t (s TEXT NOT NULL, x BLOB NOT NULL)"));
  CAIRN_EXPECT_OK(db->Run("INSERT INTO t VALUES (?1, ?2)", absl::string_view(), Blob{absl::string_view()}));
}

TEST_F(SqliteDb, ANumberThatDoesNotFitIsRefused) {
  const auto db = Open();
  CAIRN_ASSERT_OK(db->RunScript("CREATE TABLE t (i INTEGER)"));
  EXPECT_THAT(db->Run("INSERT INTO t VALUES (?1)", uint64_t{1} << 63),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("9223372036854775808")));
  // And the statement is as good as new.
  CAIRN_EXPECT_OK(db->Run("INSERT INTO t VALUES (?1)", uint64_t{1}));
}

TEST_F(SqliteDb, OneStatementTextMayBeUsedInsideItself) {
  const auto db = Open();
  CAIRN_ASSERT_OK(db->RunScript("CREATE TABLE t (i INTEGER); INSERT INTO t VALUES (1), (2), (3)"));
  constexpr absl::string_view kSql = "SELECT i FROM t ORDER BY i";
  int64_t sum = 0;
  CAIRN_ASSERT_OK_AND_ASSIGN(Statement outer, db->Prepare(kSql));
  while (*outer.Step()) {
    CAIRN_ASSERT_OK_AND_ASSIGN(Statement inner, db->Prepare(kSql));
    while (*inner.Step()) sum += outer.Int(0) * inner.Int(0);
  }
  EXPECT_EQ(sum, 36);
}

TEST_F(SqliteDb, ATransactionThatIsNotCommittedNeverWas) {
  const auto db = Open();
  CAIRN_ASSERT_OK(db->RunScript("CREATE TABLE t (i INTEGER)"));
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto transaction, Transaction::Begin(*db, Transaction::Kind::kWrite));
    CAIRN_ASSERT_OK(db->Run("INSERT INTO t VALUES (1)"));
  }
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto transaction, Transaction::Begin(*db, Transaction::Kind::kWrite));
    CAIRN_ASSERT_OK(db->Run("INSERT INTO t VALUES (2)"));
    CAIRN_ASSERT_OK(transaction->Commit());
  }
  EXPECT_EQ(db->QueryInt("SELECT sum(i) FROM t").value(), 2);
}

TEST_F(SqliteDb, ASecondWriterIsRefusedOnceTheTimeIsOver) {
  const auto first = Open();
  const auto second = Open();
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto transaction, Transaction::Begin(*first, Transaction::Kind::kWrite));
  EXPECT_THAT(Transaction::Begin(*second, Transaction::Kind::kWrite),
              StatusIs(StatusCode::kUnavailable, HasSubstr(path_)));
}

TEST_F(SqliteDb, AQueryOnlyConnectionDoesNotWrite) {
  const auto db = Open();
  CAIRN_ASSERT_OK(db->RunScript("CREATE TABLE t (i INTEGER)"));
  const auto reader = Open(absl::ZeroDuration(), /*query_only=*/true);
  EXPECT_THAT(reader->Run("INSERT INTO t VALUES (1)"), StatusIs(StatusCode::kPermissionDenied));
}

TEST_F(SqliteDb, AFullDatabaseIsResourceExhaustedAndTheNextWriteCanSucceed) {
  const auto db = Open();
  CAIRN_ASSERT_OK(db->RunScript("CREATE TABLE t (x BLOB); PRAGMA max_page_count = 4"));
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto transaction, Transaction::Begin(*db, Transaction::Kind::kWrite));
    EXPECT_THAT(db->Run("INSERT INTO t VALUES (zeroblob(1000000))"),
                StatusIs(StatusCode::kResourceExhausted));
  }
  CAIRN_EXPECT_OK(db->Run("INSERT INTO t VALUES (zeroblob(10))"));
}

}  // namespace
}  // namespace cairn::sqlite
