#include "common/io/resumable_file.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "common/io/resumable_tree.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kBlock = 4096;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string Content(uint64_t blocks, uint64_t beyond = 0) {
  std::string bytes(blocks * kBlock + beyond, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 + i / kBlock);
  return bytes;
}

class LoneFileTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<ResumableTree>> TryOpen(const std::string& identity = "1", bool overwrite = false) {
    return ResumableTree::Open(target_, {.identity = identity, .overwrite = overwrite, .durable = false,
                                         .note = [this](const std::string& note) { notes_.push_back(note); }, .block_bytes = kBlock});
  }
  // The whole of it; how much was there.
  uint64_t Finish(const std::string& content, const std::string& identity = "1", bool overwrite = false) {
    auto tree = TryOpen(identity, overwrite);
    EXPECT_TRUE(tree.ok()) << tree.status();
    auto sink = (*tree)->Create("");
    EXPECT_TRUE(sink.ok()) << sink.status();
    const uint64_t kept = (*tree)->file()->kept();
    EXPECT_EQ((*sink)->Append(content), absl::OkStatus());
    EXPECT_EQ((*sink)->Close(), absl::OkStatus());
    sink->reset();
    EXPECT_EQ((*tree)->Commit(), absl::OkStatus());
    return kept;
  }
  // What a process leaves that was killed once all of `content` had reached the system.
  void Leave(const std::string& content, const std::string& identity = "1") {
    const std::string folder = folder_ / "left";
    fs::create_directory(folder);
    {
      auto file = ResumableFile::Open(folder, {.path = target_, .durable = false, .block_bytes = kBlock});
      ASSERT_TRUE(file.ok()) << file.status();
      (*file)->Expect(7, 100, absl::string_view(content).substr(10));
      CAIRN_ASSERT_OK((*file)->Append(content.substr(0, 10)));
      // In two pieces, as where a format cuts a tensor.
      const absl::string_view rest = absl::string_view(content).substr(10);
      CAIRN_ASSERT_OK((*file)->Append(rest.substr(0, 5000)));
      CAIRN_ASSERT_OK((*file)->Append(rest.substr(std::min<size_t>(5000, rest.size()))));
      CAIRN_ASSERT_OK((*file)->Close());
    }
    fs::create_directories(kept_);
    fs::permissions(kept_, fs::perms::owner_all);
    fs::create_directory(kept_ + "/files");
    fs::rename(folder, kept_ + "/file");
    std::ofstream(kept_ + "/journal") << identity;
  }

  testing::TempDir folder_;
  const std::string target_ = folder_ / "out";
  const std::string kept_ = folder_ / ".out.cairn-tmp-resume";
  std::vector<std::string> notes_;
};

TEST_F(LoneFileTest, AppearsAtOnceAndAlone) {
  EXPECT_EQ(Finish("some bytes"), 0u);
  EXPECT_EQ(ReadAll(target_), "some bytes");
  EXPECT_FALSE(fs::exists(kept_));
  EXPECT_THAT(TryOpen().status(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(Finish("other bytes", "1", true), 0u);
  EXPECT_EQ(ReadAll(target_), "other bytes");
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(LoneFileTest, KeepsWholeBlocksAndWritesTheRest) {
  const std::string content = Content(5, 100);
  Leave(content);
  EXPECT_EQ(InterruptedRun(target_), kept_);
  EXPECT_EQ(Finish(content + "more"), 5 * kBlock);
  EXPECT_EQ(ReadAll(target_), content + "more");
  EXPECT_EQ(InterruptedRun(target_), "");
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(LoneFileTest, KnowsWhereTheBytesOfAnEntryAre) {
  const std::string content = Content(3, 100);
  Leave(content);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, TryOpen());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, tree->Create(""));
  ResumableFile& file = *tree->file();
  EXPECT_FALSE(file.Find(7, 99).has_value());
  EXPECT_FALSE(file.Find(6, 100).has_value());
  EXPECT_FALSE(file.Find(8, 100).has_value());
  // Block by block; beyond the last whole one nothing.
  std::string found(10, '\0');
  for (uint64_t offset = 100; offset < 100 + 3 * kBlock - 10;) {
    const auto kept = file.Find(7, offset);
    ASSERT_TRUE(kept.has_value()) << offset;
    EXPECT_EQ(kept->position, offset - 90);
    CAIRN_ASSERT_OK(file.ReadKept(kept->position, absl::MakeSpan(found)));
    EXPECT_EQ(found, content.substr(kept->position, found.size()));
    offset += kept->length;
  }
  EXPECT_FALSE(file.Find(7, 100 + 3 * kBlock - 10).has_value());
  EXPECT_THAT(file.ReadKept(3 * kBlock - 9, absl::MakeSpan(found)), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(LoneFileTest, OutlivesAnotherInterruptionOnItsWayThroughTheFront) {
  const std::string content = Content(4, 1);
  Leave(content);
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, TryOpen());
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, tree->Create(""));
    CAIRN_ASSERT_OK(sink->Append(content.substr(0, kBlock + 5)));
  }
  { CAIRN_ASSERT_OK(TryOpen().status()); }  // One that asks for no file.
  EXPECT_EQ(Finish(content), 4 * kBlock);
  EXPECT_EQ(ReadAll(target_), content);
}

TEST_F(LoneFileTest, KeepsNothingFromADamagedBlockOn) {
  const std::string content = Content(5);
  Leave(content);
  std::fstream(kept_ + "/file/bytes", std::ios::in | std::ios::out).seekp(2 * kBlock + 7).put('x');
  std::ofstream(kept_ + "/file/bytes", std::ios::app) << Content(9);
  EXPECT_EQ(Finish(content), 2 * kBlock);
  EXPECT_EQ(ReadAll(target_), content);
  EXPECT_THAT(notes_, ElementsAre(AllOf(HasSubstr("12288 bytes are damaged"), HasSubstr("8192 are kept"))));
}

TEST_F(LoneFileTest, KeepsNothingThatDidNotReachTheDisk) {
  const std::string content = Content(5);
  Leave(content);
  ASSERT_EQ(::truncate((kept_ + "/file/bytes").c_str(), 3 * kBlock + 50), 0);
  EXPECT_EQ(Finish(content), 3 * kBlock);
  EXPECT_EQ(ReadAll(target_), content);
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(LoneFileTest, BelievesNoRecordThatIsTornOrForged) {
  const std::string content = Content(3);
  const std::string record_path = kept_ + "/file/record";
  for (const char* forged : {"", "nonsense", "cairn-record 1 4096\nrun 1 2 3\n", "cairn-record 1 8192\nblock 00\n", "cairn-record 1 4096\nblock 00"}) {
    Leave(content);
    std::ofstream(record_path) << forged;
    EXPECT_EQ(Finish(content), 0u) << forged;
    EXPECT_EQ(ReadAll(target_), content);
    fs::remove(target_);
  }
  Leave(content);
  const std::string record = ReadAll(record_path);
  std::ofstream(record_path) << record.substr(0, record.size() - 3);
  EXPECT_EQ(Finish(content), 2 * kBlock);
  fs::remove(target_);
  // Runs that leave the front are not there.
  Leave(content);
  std::ofstream(record_path, std::ios::app) << "run 9 0 8192 4096\nrun 9 1 12288 1\nrun 9 2 8192 4097\nrun 9 3 18446744073709551615 2\nrun 9 4 0 0\n";
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, TryOpen());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, tree->Create(""));
  EXPECT_EQ(tree->file()->Find(9, 0)->length, kBlock);
  EXPECT_FALSE(tree->file()->Find(9, 4096).has_value());
}

TEST_F(LoneFileTest, BeginsAnewForAnotherIdentityAndSaysSo) {
  Leave(Content(3));
  EXPECT_EQ(Finish("another", "2"), 0u);
  EXPECT_EQ(ReadAll(target_), "another");
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("begins anew")));
}

TEST_F(LoneFileTest, RefusesOtherBytesThanBeforeAndLeavesNothingOfThem) {
  const std::string content = Content(3);
  for (const bool shorter : {false, true}) {
    Leave(content);
    std::string other = content;
    other[kBlock + 1] ^= 1;
    {
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, TryOpen());
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, tree->Create(""));
      absl::Status status = sink->Append(shorter ? content.substr(0, 2 * kBlock) : other);
      if (shorter) {
        CAIRN_ASSERT_OK(status);
        status = sink->Close();
      }
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("begin anew")));
    }
    EXPECT_FALSE(fs::exists(kept_));
    EXPECT_FALSE(fs::exists(target_));
  }
}

TEST_F(LoneFileTest, IsNotReplacedByOneThatAppearedMeanwhile) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, TryOpen());
  CAIRN_ASSERT_OK_AND_ASSIGN(auto sink, tree->Create(""));
  CAIRN_ASSERT_OK(sink->Append("mine"));
  CAIRN_ASSERT_OK(sink->Close());
  sink.reset();
  std::ofstream(target_) << "theirs";
  EXPECT_THAT(tree->Commit(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReadAll(target_), "theirs");
}

TEST_F(LoneFileTest, OfARunThatDiedRightAfterItsCommitNothingIsKeptAndTheTargetIsLeftAlone) {
  const std::string content = Content(5, 100);
  Leave(content);
  fs::create_hard_link(kept_ + "/file/bytes", target_);
  EXPECT_THAT(TryOpen().status(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_FALSE(fs::exists(kept_));
  EXPECT_EQ(ReadAll(target_), content);

  // Nor where the target has another name by now.
  Leave(content);
  const std::string moved = folder_ / "moved";
  fs::remove(target_);
  fs::create_hard_link(kept_ + "/file/bytes", moved);
  const std::string other = Content(5, 50);
  EXPECT_EQ(Finish(other), 0u);
  EXPECT_EQ(ReadAll(target_), other);
  EXPECT_EQ(ReadAll(moved), content);
}

TEST_F(LoneFileTest, IsEitherAFileOrAFolder) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, TryOpen());
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, tree->Create(""));
    EXPECT_THAT(tree->Create("a").status(), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(tree->Create("").status(), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(tree->Commit(), StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  std::ofstream(folder_ / "there") << "x";
  EXPECT_THAT(ResumableTree::Open((folder_ / "there") + "/", {.identity = "1", .overwrite = true}).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto file, ResumableTree::Open(folder_ / "there", {.identity = "1", .overwrite = true}));
  EXPECT_THAT(file->Create("a").status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is a file")));
  fs::create_directory(folder_ / "folder");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto folder, ResumableTree::Open(folder_ / "folder", {.identity = "1"}));
  EXPECT_THAT(folder->Create("").status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is a folder")));
}

}  // namespace
}  // namespace cairn
