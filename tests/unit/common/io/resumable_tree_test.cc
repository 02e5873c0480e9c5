#include "common/io/resumable_tree.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class ResumableTreeTest : public ::testing::Test {
 protected:
  std::unique_ptr<ResumableTree> Open(const std::string& identity = "1", bool overwrite = false) {
    auto tree = ResumableTree::Open(target_, {.identity = identity, .overwrite = overwrite, .durable = false});
    EXPECT_TRUE(tree.ok()) << tree.status();
    return tree.ok() ? *std::move(tree) : nullptr;
  }
  static absl::Status Write(ResumableTree& tree, const std::string& name, const std::string& bytes) {
    auto sink = tree.Create(name);
    if (!sink.ok()) return sink.status();
    if (absl::Status appended = (*sink)->Append(bytes); !appended.ok()) return appended;
    return (*sink)->Close();
  }
  void Interrupt(const std::string& identity = "1") {
    const auto tree = Open(identity);
    CAIRN_ASSERT_OK(Write(*tree, "a", "aaa"));
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto half, tree->Create("b"));
    CAIRN_ASSERT_OK(half->Append("b"));
  }

  testing::TempDir folder_;
  const std::string target_ = folder_ / "out";
  const std::string kept_ = folder_ / ".out.cairn-tmp-resume";
};

TEST_F(ResumableTreeTest, KeepsFinishedFilesAndThrowsAwayWhatComesForThem) {
  Interrupt();
  EXPECT_FALSE(fs::exists(target_));
  const auto tree = Open();
  CAIRN_ASSERT_OK_AND_ASSIGN(auto sink, tree->Create("a"));
  EXPECT_TRUE(tree->Skips());
  CAIRN_ASSERT_OK(sink->Append("xyz"));
  CAIRN_ASSERT_OK(sink->Close());
  sink.reset();
  CAIRN_ASSERT_OK_AND_ASSIGN(sink, tree->Create("b"));
  EXPECT_FALSE(tree->Skips());
  CAIRN_ASSERT_OK(sink->Append("bbb"));
  CAIRN_ASSERT_OK(sink->Close());
  sink.reset();
  CAIRN_ASSERT_OK(tree->Commit());
  EXPECT_EQ(ReadAll(target_ + "/a"), "aaa");
  EXPECT_EQ(ReadAll(target_ + "/b"), "bbb");
}

TEST_F(ResumableTreeTest, LeavesNothingBesideTheTarget) {
  Interrupt();
  {
    const auto tree = Open();
    CAIRN_ASSERT_OK(Write(*tree, "a", "aaa"));
    CAIRN_ASSERT_OK(tree->Commit());
  }
  EXPECT_FALSE(fs::exists(kept_));
  EXPECT_EQ(std::distance(fs::directory_iterator(target_), fs::directory_iterator()), 1);
}

TEST_F(ResumableTreeTest, LeavesNothingWhereNothingWasFinished) {
  { const auto tree = Open(); }
  EXPECT_FALSE(fs::exists(kept_));
}

TEST_F(ResumableTreeTest, BeginsAnewForAnotherIdentity) {
  Interrupt();
  const auto tree = Open("2");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, tree->Create("a"));
  EXPECT_FALSE(tree->Skips());
}

TEST_F(ResumableTreeTest, RefusesAFileOfAnotherSize) {
  Interrupt();
  const auto tree = Open();
  EXPECT_THAT(Write(*tree, "a", "aaaa"), StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("begin anew"), HasSubstr(kept_))));
}

TEST_F(ResumableTreeTest, RefusesToLeaveBytesOutOfAFileThatIsNotThere) {
  const auto tree = Open();
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, tree->Create("a"));
  tree->SetFeeding(true);
  EXPECT_THAT(sink->Append("x"), StatusIs(absl::StatusCode::kInternal));
  EXPECT_THAT(tree->Create("b").status(), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(ResumableTreeTest, ReplacesAFolderOnRequestAndKeepsItsOtherFiles) {
  fs::create_directory(target_);
  std::ofstream(target_ + "/a") << "old";
  std::ofstream(target_ + "/other") << "other";
  EXPECT_THAT(ResumableTree::Open(target_, {.identity = "1"}).status(), StatusIs(absl::StatusCode::kAlreadyExists));
  {
    const auto tree = Open("1", true);
    CAIRN_ASSERT_OK(Write(*tree, "a", "new"));
    CAIRN_ASSERT_OK(tree->Commit());
  }
  EXPECT_EQ(ReadAll(target_ + "/a"), "new");
  EXPECT_EQ(ReadAll(target_ + "/other"), "other");
}

TEST_F(ResumableTreeTest, IsForOneProcessAtATime) {
  const auto tree = Open();
  CAIRN_ASSERT_OK(Write(*tree, "a", "aaa"));
  EXPECT_THAT(ResumableTree::Open(target_, {.identity = "1"}).status(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another process")));
  EXPECT_TRUE(fs::exists(kept_ + "/files/a"));
}

TEST_F(ResumableTreeTest, WaitsForAnotherWhereThatIsAskedForAndGoesOnWithWhatItLeft) {
  auto first = Open();
  CAIRN_ASSERT_OK(Write(*first, "a", "aaa"));
  const Cancellation cancellation;
  const auto open = [&] {
    return ResumableTree::Open(target_, {.identity = "1", .durable = false, .wait = absl::Seconds(60), .cancellation = cancellation});
  };
  absl::StatusOr<std::unique_ptr<ResumableTree>> second = absl::UnknownError("still waiting");
  std::thread waiting([&] { second = open(); });
  first.reset();
  waiting.join();
  CAIRN_ASSERT_OK(second.status());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, (*second)->Create("a"));
  EXPECT_TRUE((*second)->Skips());
  cancellation.Cancel();
  EXPECT_THAT(open().status(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(ResumableTreeTest, DoesNotFollowALinkThatSomebodyLeft) {
  fs::create_directory(folder_ / "elsewhere");
  fs::create_directory_symlink(folder_ / "elsewhere", kept_);
  EXPECT_THAT(ResumableTree::Open(target_, {.identity = "1"}).status(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("remove it")));
  EXPECT_TRUE(fs::is_empty(folder_ / "elsewhere"));
}

TEST_F(ResumableTreeTest, WritesToWhereALinkLeads) {
  fs::create_directory(folder_ / "elsewhere");
  fs::create_directory_symlink(folder_ / "elsewhere", target_);
  {
    const auto tree = Open();
    CAIRN_ASSERT_OK(Write(*tree, "a", "aaa"));
    CAIRN_ASSERT_OK(tree->Commit());
  }
  EXPECT_TRUE(fs::is_symlink(target_));
  EXPECT_EQ(ReadAll(folder_ / "elsewhere/a"), "aaa");
}

TEST_F(ResumableTreeTest, RefusesAFileSystemOfItsOwnBeforeAnythingIsWritten) {
  EXPECT_THAT(ResumableTree::Open("/proc", {.identity = "1", .overwrite = true}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("file system of its own")));
  EXPECT_FALSE(fs::exists("/.proc.cairn-tmp-resume"));
}

TEST_F(ResumableTreeTest, IsAFolderWithNamesInside) {
  const auto tree = Open();
  for (const char* name : {"/x", "../x", "a/../b", "a//b", "x.cairn-tmp-1"}) {
    EXPECT_THAT(tree->Create(name).status(), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
  EXPECT_THAT(tree->Commit(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace cairn
