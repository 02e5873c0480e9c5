#include "server/registry/sqlite_registry.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/registry/sqlite_db.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn {
namespace {

using absl::StatusCode;
using cairn::testing::StatusIs;
using cairn::testing::TempDir;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

absl::StatusOr<CheckpointRow> Save(Registry& registry, int64_t step) {
  const std::string uid = absl::StrCat("u", step);
  SessionSpec spec;
  spec.name = "team/run";
  spec.step = step;
  spec.client_key = uid;
  const absl::StatusOr<Session> session = registry.BeginSession(uid, spec, kNow);
  if (!session.ok()) return session.status();
  CheckpointRow row;
  row.uid = uid;
  row.name = spec.name;
  row.step = step;
  row.manifest_key = absl::StrCat("manifest-", uid);
  row.manifest_digest = DigestOf(row.manifest_key, DigestAlgorithm::kSha256);
  return registry.CommitSession(uid, row, {}, 0, kNow);
}

class SqliteRegistryTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Registry>> Open(absl::Duration busy_timeout = absl::Seconds(10)) {
    return OpenSqliteRegistry({.path = path_, .durable = false, .busy_timeout = busy_timeout});
  }
  // The database through SQLite itself, as another program would see it.
  std::unique_ptr<sqlite::Connection> OpenRaw() {
    auto connection =
        sqlite::Connection::Open({.path = path_, .create = true, .busy_timeout = absl::ZeroDuration()});
    CAIRN_EXPECT_OK(connection);
    return connection.ok() ? *std::move(connection) : nullptr;
  }

  TempDir dir_;
  const std::string path_ = dir_ / "registry.db";
};

TEST_F(SqliteRegistryTest, MakesTheDatabaseAndTellsWhereItIs) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto registry, Open());
  EXPECT_THAT(registry->Describe(), HasSubstr(path_));
  EXPECT_EQ(OpenRaw()->QueryInt("PRAGMA user_version").value(), 1);
}

TEST_F(SqliteRegistryTest, RefusesAPathThatNamesNoFile) {
  EXPECT_THAT(OpenSqliteRegistry({.path = ""}), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(OpenSqliteRegistry({.path = ":memory:"}),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr(":memory:")));
}

TEST_F(SqliteRegistryTest, RefusesADatabaseOfANewerVersionAndLeavesItAlone) {
  CAIRN_ASSERT_OK(Open());
  CAIRN_ASSERT_OK(OpenRaw()->RunScript("PRAGMA user_version = 7"));
  EXPECT_THAT(Open(),
              StatusIs(StatusCode::kFailedPrecondition, AllOf(HasSubstr(path_), HasSubstr("version 7"),
                                                              HasSubstr("up to 1"), HasSubstr("upgrade"))));
  EXPECT_EQ(OpenRaw()->QueryInt("PRAGMA user_version").value(), 7);
}

TEST_F(SqliteRegistryTest, RefusesTheDatabaseOfAnotherProgramAndLeavesItAlone) {
  CAIRN_ASSERT_OK(OpenRaw()->RunScript("CREATE TABLE bookmarks (url TEXT)"));
  EXPECT_THAT(Open(), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("another program")));
  EXPECT_EQ(OpenRaw()->QueryInt("SELECT count(*) FROM sqlite_schema").value(), 1);
}

TEST_F(SqliteRegistryTest, AFileThatIsNoDatabaseIsDataLoss) {
  std::ofstream(path_) << std::string(10'000, 'x');
  EXPECT_THAT(Open(), StatusIs(StatusCode::kDataLoss, HasSubstr(path_)));
}

TEST_F(SqliteRegistryTest, ADamagedPageIsDataLoss) {
  constexpr int64_t kPageBytes = 4096;
  const auto overwrite = [&](int64_t offset, int64_t bytes) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(offset);
    const std::string noise(static_cast<size_t>(bytes), '\x5a');
    file.write(noise.data(), static_cast<std::streamsize>(noise.size()));
  };
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto registry, Open());
    for (int i = 0; i < 50; ++i) CAIRN_ASSERT_OK(Save(*registry, i));
  }
  const int64_t page =
      OpenRaw()->QueryInt("SELECT rootpage FROM sqlite_schema WHERE name = 'checkpoints_live'").value();
  overwrite((page - 1) * kPageBytes, kPageBytes);
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto registry, Open());
    EXPECT_THAT(registry->GetCheckpoint("team/run", 7, ""),
                StatusIs(StatusCode::kDataLoss, HasSubstr(path_)));
    EXPECT_THAT(Save(*registry, 1000), StatusIs(StatusCode::kDataLoss, HasSubstr(path_)));
    CAIRN_EXPECT_OK(registry->GetSession("u7"));
  }
  // All but the first page, which tells what the file is.
  overwrite(kPageBytes, static_cast<int64_t>(std::filesystem::file_size(path_)) - kPageBytes);
  EXPECT_THAT(Open(), StatusIs(StatusCode::kDataLoss, HasSubstr(path_)));
}

TEST_F(SqliteRegistryTest, AFolderThatIsNotThereIsNamed) {
  EXPECT_THAT(OpenSqliteRegistry({.path = dir_ / "missing/registry.db"}),
              StatusIs(StatusCode::kPermissionDenied, HasSubstr("missing/registry.db")));
}

// What opening the database says to a user who may not write it. Root may do anything, so a child steps down
// first.
StatusCode OpenAsNobody(const std::string& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(99);
    const auto registry = OpenSqliteRegistry({.path = path, .busy_timeout = absl::ZeroDuration()});
    const bool names_path = absl::StrContains(registry.status().message(), path);
    ::_exit(registry.ok() || names_path ? static_cast<int>(registry.status().code()) : 98);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  return static_cast<StatusCode>(WEXITSTATUS(status));
}

TEST_F(SqliteRegistryTest, AFolderThatMayNotBeWrittenIsPermissionDenied) {
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0555), 0);
  EXPECT_EQ(OpenAsNobody(path_), StatusCode::kPermissionDenied);
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
}

TEST_F(SqliteRegistryTest, AFileThatMayNotBeWrittenIsPermissionDenied) {
  CAIRN_ASSERT_OK(Open());
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0777), 0);
  ASSERT_EQ(::chmod(path_.c_str(), 0444), 0);
  EXPECT_EQ(OpenAsNobody(path_), StatusCode::kPermissionDenied);
}

TEST_F(SqliteRegistryTest, WhileAnotherProcessWritesReadsGoOnAndWritesAreUnavailable) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto registry, Open(/*busy_timeout=*/absl::Milliseconds(20)));
  CAIRN_ASSERT_OK(Save(*registry, 1));
  const auto other = OpenRaw();
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto transaction,
                               sqlite::Transaction::Begin(*other, sqlite::Transaction::Kind::kWrite));
    CAIRN_ASSERT_OK(other->RunScript("DELETE FROM checkpoint_objects; DELETE FROM checkpoints"));
    CAIRN_EXPECT_OK(registry->GetCheckpoint("team/run", 1, ""));
    EXPECT_THAT(Save(*registry, 2), StatusIs(StatusCode::kUnavailable, HasSubstr("try again")));
  }
  CAIRN_EXPECT_OK(Save(*registry, 2));
}

TEST_F(SqliteRegistryTest, ClaimsThatChangeNothingDoNotWaitForAWriter) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto registry, Open(/*busy_timeout=*/absl::Milliseconds(20)));
  SessionSpec spec;
  spec.name = "a";
  spec.client_key = "own";
  CAIRN_ASSERT_OK(registry->BeginSession("own", spec, kNow));
  spec.client_key = "other";
  CAIRN_ASSERT_OK(registry->BeginSession("other", spec, kNow));
  const Digest known = DigestOf("known", DigestAlgorithm::kXxh3);
  const std::vector<Digest> both = {known, DigestOf("unknown", DigestAlgorithm::kXxh3)};
  CAIRN_ASSERT_OK(registry->RecordPart("own", {.object_key = "o"}, {NewExtent{.digest = known}}, kNow));

  const auto writer = OpenRaw();
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto transaction,
                             sqlite::Transaction::Begin(*writer, sqlite::Transaction::Kind::kWrite));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto own, registry->ClaimExtents("own", both));
  EXPECT_TRUE(own[0].has_value());
  CAIRN_EXPECT_OK(registry->ClaimExtents("other", {DigestOf("unknown", DigestAlgorithm::kXxh3)}));
  EXPECT_THAT(registry->ClaimExtents("other", both), StatusIs(StatusCode::kUnavailable));
}

TEST_F(SqliteRegistryTest, ManyMayOpenANewDatabaseAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      const auto registry = Open();
      CAIRN_ASSERT_OK(registry);
      CAIRN_EXPECT_OK(Save(**registry, i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto registry, Open());
  EXPECT_EQ(registry->GetTotals()->checkpoints, 6u);
}

// Saves in a child, which tells each commit that was acknowledged, and kills it in the middle.
TEST_F(SqliteRegistryTest, EveryAcknowledgedCommitSurvivesAKill) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    const auto registry = OpenSqliteRegistry({.path = path_});
    if (!registry.ok()) ::_exit(1);
    for (int64_t step = 0;; ++step) {
      if (!Save(**registry, step).ok()) ::_exit(2);
      if (::write(ends[1], &step, sizeof(step)) != sizeof(step)) ::_exit(3);
    }
  }
  ::close(ends[1]);
  int64_t last = -1;
  int64_t step = 0;
  while (::read(ends[0], &step, sizeof(step)) == sizeof(step)) {
    if (step == 40) ::kill(child, SIGKILL);
    last = step;
  }
  ::close(ends[0]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the child left by itself: " << status;
  ASSERT_GE(last, 40);

  CAIRN_ASSERT_OK_AND_ASSIGN(const auto registry, Open());
  for (int64_t acknowledged = 0; acknowledged <= last; ++acknowledged) {
    CAIRN_EXPECT_OK(registry->GetCheckpoint("team/run", acknowledged, ""));
  }
  CAIRN_EXPECT_OK(Save(*registry, 1'000'000));
  EXPECT_EQ(OpenRaw()
                ->QueryInt("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'")
                .value(),
            0);
}

}  // namespace
}  // namespace cairn
