#include "common/io/posix_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::cairn::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  return names;
}

TEST(FileSource, ReadsAnyPartOfTheFile) {
  TempDir dir;
  WriteFile(dir / "f", "0123456789");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto source, OpenFileSource(dir / "f"));
  EXPECT_EQ(source->size(), 10u);
  EXPECT_EQ(source->name(), dir / "f");
  std::string part(4, '\0');
  CAIRN_EXPECT_OK(source->ReadAt(3, absl::MakeSpan(part)));
  EXPECT_EQ(part, "3456");
  CAIRN_EXPECT_OK(source->ReadAt(6, absl::MakeSpan(part)));
  EXPECT_EQ(part, "6789");
  CAIRN_EXPECT_OK(source->ReadAt(10, {}));
}

TEST(FileSource, RefusesAReadThatLeavesTheFile) {
  TempDir dir;
  WriteFile(dir / "f", "0123456789");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto source, OpenFileSource(dir / "f"));
  std::string part(4, '\0');
  EXPECT_THAT(source->ReadAt(7, absl::MakeSpan(part)),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("leave")));
  EXPECT_THAT(source->ReadAt(~uint64_t{0}, absl::MakeSpan(part)), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST(FileSource, SaysThatAFileShrankWhileOpen) {
  TempDir dir;
  WriteFile(dir / "f", "0123456789");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto source, OpenFileSource(dir / "f"));
  std::filesystem::resize_file(dir / "f", 5);
  std::string part(4, '\0');
  EXPECT_THAT(source->ReadAt(3, absl::MakeSpan(part)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("shrank")));
}

TEST(FileSource, NamesWhatCannotBeOpened) {
  TempDir dir;
  EXPECT_THAT(OpenFileSource(dir / "none"), StatusIs(absl::StatusCode::kNotFound, HasSubstr(dir / "none")));
  EXPECT_THAT(OpenFileSource(dir.path()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a folder")));
}

TEST(FileSink, ShowsTheFileOnlyOnceItIsClosed) {
  TempDir dir;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, CreateFileSink(dir / "f"));
  CAIRN_ASSERT_OK(sink->Append("01234"));
  CAIRN_ASSERT_OK(sink->Append("56789"));
  EXPECT_EQ(sink->size(), 10u);
  EXPECT_FALSE(std::filesystem::exists(dir / "f"));
  EXPECT_THAT(NamesIn(dir.path()), ::testing::ElementsAre(MatchesRegex("\\.f\\.cairn-tmp-......")));
  CAIRN_ASSERT_OK(sink->Close());
  EXPECT_THAT(NamesIn(dir.path()), ::testing::ElementsAre("f"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string bytes, ReadSmallFile(dir / "f", 100));
  EXPECT_EQ(bytes, "0123456789");
}

// Above 32 MiB a durable file is written past the page cache, by another thread.
TEST(FileSink, WritesALargeFileAsItWasAppended) {
  constexpr size_t kSize = (40u << 20) + 77;
  std::string bytes(kSize, '\0');
  for (size_t i = 0; i < kSize; ++i) bytes[i] = static_cast<char>(i % 253 + i / 4096);
  for (const size_t piece : {size_t{100'003}, size_t{4} << 20, kSize}) {
    for (const bool durable : {true, false}) {
      TempDir dir;
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, CreateFileSink(dir / "f", {.durable = durable}));
      for (size_t at = 0; at < kSize; at += piece) CAIRN_ASSERT_OK(sink->Append(absl::string_view(bytes).substr(at, piece)));
      EXPECT_EQ(sink->size(), kSize);
      CAIRN_ASSERT_OK(sink->Close());
      EXPECT_TRUE(ReadSmallFile(dir / "f", kSize).value() == bytes) << piece << " " << durable;
    }
  }
}

TEST(FileSink, LeavesNothingOfALargeFileThatIsNotClosed) {
  TempDir dir;
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, CreateFileSink(dir / "f"));
    CAIRN_ASSERT_OK(sink->Append(std::string(50 << 20, 'x')));
  }
  EXPECT_THAT(NamesIn(dir.path()), IsEmpty());
}

// The reads tell the system what comes next; what they return must not depend on it.
TEST(FileSource, ReadsLargePiecesInAnyOrder) {
  TempDir dir;
  std::string bytes((20u << 20) + 5, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i % 249 + i / 4096);
  WriteFile(dir / "f", bytes);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto source, OpenFileSource(dir / "f"));
  constexpr size_t kPiece = 1 << 20;
  for (const size_t at : {size_t{0}, kPiece, 2 * kPiece, 17 * kPiece, bytes.size() - kPiece, size_t{3}, size_t{0}}) {
    std::string part(kPiece, '\0');
    CAIRN_ASSERT_OK(source->ReadAt(at, absl::MakeSpan(part)));
    EXPECT_TRUE(part == bytes.substr(at, kPiece)) << at;
  }
}

TEST(FileSink, LeavesNothingWhenItIsNotClosed) {
  TempDir dir;
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, CreateFileSink(dir / "f"));
    CAIRN_ASSERT_OK(sink->Append("01234"));
  }
  EXPECT_THAT(NamesIn(dir.path()), IsEmpty());
}

TEST(FileSink, GivesTheFileTheModeThatTheUmaskAsksFor) {
  TempDir dir;
  const mode_t mask = ::umask(027);
  const auto sink = CreateFileSink(dir / "f");
  ::umask(mask);
  CAIRN_ASSERT_OK(sink);
  CAIRN_ASSERT_OK((*sink)->Close());
  struct stat info;
  ASSERT_EQ(::stat((dir / "f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST(FileSink, ReplacesAFileOnlyWhenAskedTo) {
  TempDir dir;
  WriteFile(dir / "f", "old");
  EXPECT_THAT(CreateFileSink(dir / "f"), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(dir / "f")));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, CreateFileSink(dir / "f", {.overwrite = true}));
  CAIRN_ASSERT_OK(sink->Append("new"));
  CAIRN_ASSERT_OK(sink->Close());
  EXPECT_EQ(ReadSmallFile(dir / "f", 100).value(), "new");
}

TEST(FileSink, RefusesAFileThatAppearedWhileItWasWritten) {
  TempDir dir;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, CreateFileSink(dir / "f"));
  WriteFile(dir / "f", "somebody else's");
  EXPECT_THAT(sink->Close(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReadSmallFile(dir / "f", 100).value(), "somebody else's");
}

TEST(FileSink, NamesAFolderThatIsMissing) {
  TempDir dir;
  EXPECT_THAT(CreateFileSink(dir / "none/f"), StatusIs(absl::StatusCode::kNotFound, HasSubstr(dir / "none")));
}

TEST(ReadSmallFile, RefusesAFileAboveTheLimit) {
  TempDir dir;
  WriteFile(dir / "f", "0123456789");
  EXPECT_EQ(ReadSmallFile(dir / "f", 10).value(), "0123456789");
  EXPECT_THAT(ReadSmallFile(dir / "f", 9),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("at most 9")));
}

TEST(FileSink, NeverReplacesWhatIsNoFile) {
  const testing::TempDir folder;
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const std::string link = folder / "link";
  ASSERT_EQ(::symlink("/dev/null", link.c_str()), 0);
  for (const auto& [path, kind] : {std::pair(pipe, "a pipe"), std::pair(link, "a device"),
                                   std::pair(folder.path(), "a folder")}) {
    EXPECT_THAT(CreateFileSink(path, {.overwrite = true}),
                StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr(kind)));
  }
}

TEST(ErrnoStatus, GivesTheCodeThatACallerCanActOn) {
  EXPECT_THAT(ErrnoStatus(ENOSPC, "write", "f"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("write f: ")));
  EXPECT_THAT(ErrnoStatus(EDQUOT, "write", "f"), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(ErrnoStatus(EMFILE, "open", "f"), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(ErrnoStatus(EACCES, "open", "f"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(ErrnoStatus(EROFS, "open", "f"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(ErrnoStatus(ENOENT, "open", "f"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ErrnoStatus(EEXIST, "open", "f"), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(ErrnoStatus(EIO, "read", "f"), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ErrnoStatus(ENOSYS, "read", "f"), StatusIs(absl::StatusCode::kInternal));
}

TEST(SyncDirectory, NamesAFolderThatIsMissing) {
  TempDir dir;
  CAIRN_EXPECT_OK(SyncDirectory(dir.path()));
  EXPECT_THAT(SyncDirectory(dir / "none"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace cairn
