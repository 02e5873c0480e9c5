#include "server/store/data_directory.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/server/store/child_process.h"

namespace cairn::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class DataDirectoryTest : public ::testing::Test {
 protected:
  std::string path() const { return folder_ / "data"; }

  std::string Text(const std::string& name) const {
    std::ifstream file(path() + "/" + name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  void Write(const std::string& name, const std::string& text) const {
    fs::create_directories(path());
    std::ofstream(path() + "/" + name, std::ios::binary) << text;
  }

  // Opens it and holds it until it is killed.
  void Hold(const ChildProcess::Report& report) const {
    const auto directory = OpenDataDirectory(path());
    report(directory.status());
  }

  TempDir folder_;
};

TEST_F(DataDirectoryTest, MakesADirectoryForTheOwnerOnly) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const DataDirectory directory, OpenDataDirectory(path() + "/"));
  EXPECT_EQ(directory.path(), path());
  struct stat info;
  ASSERT_EQ(::stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_EQ(Text("VERSION"), "cairn-data 1\n");
  EXPECT_THAT(Text("LOCK"), HasSubstr(absl::StrCat("pid ", ::getpid(), "\nhost ")));
}

TEST_F(DataDirectoryTest, OpensAgainAfterItWasClosed) {
  CAIRN_ASSERT_OK(OpenDataDirectory(path()));
  EXPECT_EQ(Text("LOCK"), "") << "a process id of nobody";
  CAIRN_ASSERT_OK(OpenDataDirectory(path()));
  EXPECT_EQ(Text("VERSION"), "cairn-data 1\n");
}

TEST_F(DataDirectoryTest, IsHeldByOneOwnerWhoMayMove) {
  CAIRN_ASSERT_OK_AND_ASSIGN(DataDirectory first, OpenDataDirectory(path()));
  std::optional<DataDirectory> moved(std::move(first));
  EXPECT_THAT(OpenDataDirectory(path()), StatusIs(absl::StatusCode::kFailedPrecondition));
  moved.reset();
  CAIRN_EXPECT_OK(OpenDataDirectory(path()));
}

TEST_F(DataDirectoryTest, RefusesASecondProcessAndNamesTheFirst) {
  ChildProcess holder([&](const ChildProcess::Report& report) { Hold(report); });
  CAIRN_ASSERT_OK(holder.Reported());
  char host[256] = {};
  ASSERT_EQ(::gethostname(host, sizeof(host) - 1), 0);
  EXPECT_THAT(
      OpenDataDirectory(path()),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr(absl::StrCat("another cairnd (pid ", holder.pid(), ", host ", host, ")")),
                     HasSubstr(path()))));
}

TEST_F(DataDirectoryTest, IsFreeOnceItsHolderIsKilled) {
  ChildProcess holder([&](const ChildProcess::Report& report) { Hold(report); });
  CAIRN_ASSERT_OK(holder.Reported());
  ASSERT_FALSE(OpenDataDirectory(path()).ok());
  holder.Kill();
  CAIRN_ASSERT_OK_AND_ASSIGN(const DataDirectory directory, OpenDataDirectory(path()));
  EXPECT_THAT(Text("LOCK"), HasSubstr(absl::StrCat("pid ", ::getpid(), "\n")));
}

TEST_F(DataDirectoryTest, SaysSoWhenTheHolderHasNoNameYet) {
  ChildProcess holder([&](const ChildProcess::Report& report) { Hold(report); });
  CAIRN_ASSERT_OK(holder.Reported());
  Write("LOCK", "");
  EXPECT_THAT(OpenDataDirectory(path()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("(pid unknown, host unknown)")));
}

TEST_F(DataDirectoryTest, RefusesWhatANewerProgramWrote) {
  Write("VERSION", "cairn-data 7\n");
  EXPECT_THAT(OpenDataDirectory(path()), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                  AllOf(HasSubstr("version 7"), HasSubstr("up to 1"),
                                                        HasSubstr("upgrade"), HasSubstr(path()))));
  EXPECT_EQ(Text("VERSION"), "cairn-data 7\n");
}

TEST_F(DataDirectoryTest, AVersionFileThatIsNoneIsDataLoss) {
  for (const std::string& text :
       {std::string(), std::string("cairn-data 1"), std::string("cairn-data \n"),
        std::string("cairn-data 0\n"), std::string("cairn-data -1\n"), std::string("cairn-data 01\n"),
        std::string("cairn-data 1\n\n"), std::string("cairn-data 99999999999999999999\n"),
        std::string("\0\0\0\0", 4), std::string("postgres 15\n"), std::string(1 << 20, 'x')}) {
    Write("VERSION", text);
    EXPECT_THAT(OpenDataDirectory(path()),
                StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("/VERSION"), HasSubstr("restore"))))
        << text.substr(0, 40);
    EXPECT_EQ(Text("VERSION"), text) << "it must not be overwritten";
  }
}

TEST_F(DataDirectoryTest, RefusesAFileAndAMissingParent) {
  std::ofstream(folder_ / "file") << "x";
  EXPECT_THAT(OpenDataDirectory(folder_ / "file"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a file")));
  EXPECT_THAT(OpenDataDirectory(folder_ / "missing/data"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("parent")));
  EXPECT_THAT(OpenDataDirectory(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DataDirectoryTest, RefusesADirectoryThatMayNotBeWritten) {
  CAIRN_ASSERT_OK(OpenDataDirectory(path()));
  fs::permissions(folder_.path(), static_cast<fs::perms>(0755));
  fs::permissions(path(), static_cast<fs::perms>(0555));
  const absl::Status status = RunInChild([&] {
    BecomeNobody();
    return OpenDataDirectory(path()).status();
  });
  fs::permissions(path(), static_cast<fs::perms>(0755));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kPermissionDenied,
                               AllOf(HasSubstr(path()), HasSubstr("allow user"))));
}

TEST(DataDirectory, KnowsWhatLiesInMemory) {
  EXPECT_FALSE(LiesInMemory("/proc"));
  EXPECT_FALSE(LiesInMemory("/nowhere/at/all"));
  struct statfs shared;
  if (::statfs("/dev/shm", &shared) != 0 || shared.f_type != TMPFS_MAGIC) GTEST_SKIP() << "/dev/shm is no tmpfs here";
  EXPECT_TRUE(LiesInMemory("/dev/shm"));
}

}  // namespace
}  // namespace cairn::testing
