#include "common/io/file_tree.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "common/io/posix_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::cairn::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string ReadFile(const std::string& path) {
  return ReadSmallFile(path, 1000).value_or("(cannot be read)");
}

// Every path under a folder.
std::set<std::string> Walk(const std::string& folder) {
  std::set<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    paths.insert(std::filesystem::relative(entry.path(), folder).string());
  }
  return paths;
}

absl::Status Put(SinkTree& tree, const std::string& name, const std::string& bytes) {
  auto sink = tree.Create(name);
  if (!sink.ok()) return sink.status();
  if (absl::Status status = (*sink)->Append(bytes); !status.ok()) return status;
  return (*sink)->Close();
}

TEST(SourceTree, OfAFileIsThatFile) {
  TempDir dir;
  WriteFile(dir / "f", "abc");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, OpenSourceTree(dir / "f"));
  EXPECT_FALSE(tree->is_directory());
  EXPECT_THAT(tree->List().value(), ElementsAre(""));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto file, tree->Open(""));
  EXPECT_EQ(file->size(), 3u);
  EXPECT_THAT(tree->Open("g"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SourceTree, OfAFileFindsTheFolderInWhichItLies) {
  TempDir dir;
  WriteFile(dir / "f", "abc");
  WriteFile(dir / "g", "defg");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, OpenSourceTree(dir / "f"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto parent, tree->OpenParent());
  EXPECT_THAT(parent->List().value(), ElementsAre("f", "g"));
  EXPECT_THAT(parent->OpenParent(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(SourceTree, OpensTheFoldersInItAndNoOthers) {
  TempDir dir;
  std::filesystem::create_directories(dir / "outer/inner");
  WriteFile(dir / "outer/inner/a", "x");
  const auto tree = OpenSourceTree(dir / "outer").value();
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto inner, tree->OpenFolder("inner"));
  EXPECT_TRUE(inner->is_directory());
  EXPECT_EQ(inner->List().value(), std::vector<std::string>{"a"});
  EXPECT_THAT(tree->OpenFolder("none"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(tree->OpenFolder("inner/a"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(tree->OpenFolder("../outer"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(OpenSourceTree(dir / "outer/inner/a").value()->OpenFolder("b"), StatusIs(absl::StatusCode::kNotFound));

  std::filesystem::create_directory_symlink(dir.path(), dir / "outer/link");
  const auto confined = OpenSourceTree(dir / "outer", {.confined_to = std::filesystem::canonical(dir / "outer").string()}).value();
  EXPECT_THAT(confined->OpenFolder("link"), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST(SourceTree, ListsRegularFilesInOrderAndFollowsLinks) {
  TempDir dir;
  WriteFile(dir / "b", "1");
  WriteFile(dir / "a", "22");
  std::filesystem::create_directory(dir / "sub");
  WriteFile(dir / "sub/c", "333");
  std::filesystem::create_symlink("sub/c", dir / "link");
  std::filesystem::create_symlink("none", dir / "dangling");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, OpenSourceTree(dir.path()));
  EXPECT_TRUE(tree->is_directory());
  EXPECT_THAT(tree->List().value(), ElementsAre("a", "b", "link"));
  EXPECT_EQ(tree->Open("link").value()->size(), 3u);
  EXPECT_EQ(tree->Open("sub/c").value()->size(), 3u);
  EXPECT_THAT(tree->Open("none"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(SourceTree, RefusesNamesThatLeaveTheFolder) {
  TempDir dir;
  std::filesystem::create_directory(dir / "tree");
  WriteFile(dir / "secret", "1");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, OpenSourceTree(dir / "tree"));
  for (const std::string& name : {std::string("../secret"), std::string("a/../../secret"), dir / "secret",
                                  std::string(""), std::string("."), std::string("a//b"), std::string("a/"),
                                  std::string("..\0", 3), std::string("a\0b", 3)}) {
    EXPECT_THAT(tree->Open(name),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("inside the folder")))
        << name;
  }
}

TEST(SourceTree, NamesAPathThatIsMissing) {
  TempDir dir;
  EXPECT_THAT(OpenSourceTree(dir / "none"), StatusIs(absl::StatusCode::kNotFound, HasSubstr(dir / "none")));
  EXPECT_THAT(OpenSourceTree("/dev/null"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a device")));
}

TEST(MemorySourceTree, IsOneFile) {
  const auto tree = MemorySourceTree("abc", "bytes");
  EXPECT_EQ(tree->name(), "bytes");
  EXPECT_THAT(tree->List().value(), ElementsAre(""));
  EXPECT_EQ(tree->Open("").value()->size(), 3u);
  EXPECT_THAT(tree->Open("x"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(tree->OpenParent(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(SinkTree, ShowsALoneFileOnlyAfterCommit) {
  TempDir dir;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, CreateSinkTree(dir / "f"));
  CAIRN_ASSERT_OK(Put(*tree, "", "abc"));
  EXPECT_FALSE(std::filesystem::exists(dir / "f"));
  CAIRN_ASSERT_OK(tree->Commit());
  EXPECT_THAT(Walk(dir.path()), ElementsAre("f"));
  EXPECT_EQ(ReadFile(dir / "f"), "abc");
}

TEST(SinkTree, ShowsAFolderOnlyAfterCommit) {
  TempDir dir;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, CreateSinkTree(dir / "out"));
  CAIRN_ASSERT_OK(Put(*tree, "a", "1"));
  CAIRN_ASSERT_OK(Put(*tree, "sub/b", "22"));
  EXPECT_FALSE(std::filesystem::exists(dir / "out"));
  CAIRN_ASSERT_OK(tree->Commit());
  EXPECT_THAT(Walk(dir.path()), ElementsAre("out", "out/a", "out/sub", "out/sub/b"));
  EXPECT_EQ(ReadFile(dir / "out/sub/b"), "22");
}

TEST(SinkTree, GivesTheFolderTheModeThatTheUmaskAsksFor) {
  TempDir dir;
  const mode_t mask = ::umask(027);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, CreateSinkTree(dir / "out"));
  const absl::Status put = Put(*tree, "a", "1");
  const absl::Status committed = tree->Commit();
  ::umask(mask);
  CAIRN_ASSERT_OK(put);
  CAIRN_ASSERT_OK(committed);
  struct stat info;
  ASSERT_EQ(::stat((dir / "out").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0750u);
}

TEST(SinkTree, LeavesNothingWhenItIsNotCommitted) {
  TempDir dir;
  std::filesystem::create_directory(dir / "empty");
  for (const std::string& target : {dir / "file", dir / "folder/", dir / "empty"}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, CreateSinkTree(target));
    const bool lone = target == dir / "file";
    CAIRN_ASSERT_OK(Put(*tree, lone ? "" : "a", "1"));
    if (!lone) {
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto open, tree->Create("b"));
      CAIRN_ASSERT_OK(open->Append("22"));
    }
  }
  EXPECT_THAT(Walk(dir.path()), ElementsAre("empty"));
}

TEST(SinkTree, TellsAFolderByItsSlashOrByItsBeingThere) {
  TempDir dir;
  std::filesystem::create_directory(dir / "there");
  EXPECT_TRUE(CreateSinkTree(dir / "there").value()->is_directory());
  EXPECT_TRUE(CreateSinkTree(dir / "absent/").value()->is_directory());
  EXPECT_FALSE(CreateSinkTree(dir / "absent").value()->is_directory());
  EXPECT_THAT(CreateSinkTree(dir / "absent/").value()->Create(""),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SinkTree, FillsAFolderThatIsEmpty) {
  TempDir dir;
  std::filesystem::create_directory(dir / "out");
  std::filesystem::create_directory(dir / "out/.out.cairn-tmp-abcdef");  // What a killed writer left.
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, CreateSinkTree(dir / "out"));
  CAIRN_ASSERT_OK(Put(*tree, "a", "1"));
  CAIRN_ASSERT_OK(Put(*tree, "sub/b", "22"));
  CAIRN_ASSERT_OK(tree->Commit());
  EXPECT_THAT(Walk(dir / "out"), ElementsAre(".out.cairn-tmp-abcdef", "a", "sub", "sub/b"));
}

TEST(SinkTree, ReplacesWhatIsThereOnlyWhenAskedTo) {
  TempDir dir;
  std::filesystem::create_directory(dir / "out");
  WriteFile(dir / "out/a", "old");
  WriteFile(dir / "out/index", "old");
  WriteFile(dir / "out/kept", "old");
  WriteFile(dir / "f", "old");
  EXPECT_THAT(CreateSinkTree(dir / "out"),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr(dir / "out")));
  EXPECT_THAT(CreateSinkTree(dir / "f"), StatusIs(absl::StatusCode::kAlreadyExists));

  CAIRN_ASSERT_OK_AND_ASSIGN(const auto file, CreateSinkTree(dir / "f", {.overwrite = true}));
  CAIRN_ASSERT_OK(Put(*file, "", "new"));
  EXPECT_EQ(ReadFile(dir / "f"), "old");
  CAIRN_ASSERT_OK(file->Commit());
  EXPECT_EQ(ReadFile(dir / "f"), "new");

  CAIRN_ASSERT_OK_AND_ASSIGN(const auto folder, CreateSinkTree(dir / "out", {.overwrite = true}));
  EXPECT_THAT(folder->ExistingFiles(), ElementsAre("a", "index", "kept"));
  CAIRN_ASSERT_OK(Put(*folder, "a", "new"));
  CAIRN_ASSERT_OK(Put(*folder, "index", "new"));
  EXPECT_EQ(ReadFile(dir / "out/a"), "old");
  CAIRN_ASSERT_OK(folder->Commit());
  EXPECT_EQ(ReadFile(dir / "out/a"), "new");
  EXPECT_EQ(ReadFile(dir / "out/index"), "new");
  EXPECT_EQ(ReadFile(dir / "out/kept"), "old");
  EXPECT_THAT(Walk(dir / "out"), ElementsAre("a", "index", "kept"));
}

TEST(SinkTree, RemovesTheOldLastFileBeforeItMovesTheOthers) {
  TempDir dir;
  std::filesystem::create_directory(dir / "out");
  WriteFile(dir / "out/index", "old");
  std::filesystem::create_directories(dir / "out/shard/in-the-way");  // So that the move of "shard" fails.
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, CreateSinkTree(dir / "out", {.overwrite = true}));
  CAIRN_ASSERT_OK(Put(*tree, "shard", "new"));
  CAIRN_ASSERT_OK(Put(*tree, "index", "new"));
  EXPECT_FALSE(tree->Commit().ok());
  EXPECT_FALSE(std::filesystem::exists(dir / "out/index"));
}

TEST(SinkTree, RefusesATargetThatAppearedWhileItWasWritten) {
  TempDir dir;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto folder, CreateSinkTree(dir / "out"));
  CAIRN_ASSERT_OK(Put(*folder, "a", "1"));
  std::filesystem::create_directory(dir / "out");
  WriteFile(dir / "out/other", "x");
  EXPECT_THAT(folder->Commit(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(Walk(dir / "out"), ElementsAre("other"));

  CAIRN_ASSERT_OK_AND_ASSIGN(const auto file, CreateSinkTree(dir / "f"));
  CAIRN_ASSERT_OK(Put(*file, "", "1"));
  WriteFile(dir / "f", "other");
  EXPECT_THAT(file->Commit(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(ReadFile(dir / "f"), "other");
}

TEST(SinkTree, RefusesNamesThatLeaveTheFolder) {
  TempDir dir;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, CreateSinkTree(dir / "out"));
  for (const std::string& name :
       {std::string("../x"), std::string("/x"), std::string("a/../../x"), std::string("a//b")}) {
    EXPECT_THAT(tree->Create(name),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("inside the folder")))
        << name;
  }
}

TEST(SinkTree, IsEitherAFileOrAFolder) {
  TempDir dir;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto file, CreateSinkTree(dir / "f"));
  CAIRN_ASSERT_OK(Put(*file, "", "1"));
  EXPECT_THAT(file->Create("a"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("both")));
  EXPECT_THAT(file->Create(""), StatusIs(absl::StatusCode::kInvalidArgument));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto folder, CreateSinkTree(dir / "out"));
  CAIRN_ASSERT_OK(Put(*folder, "a", "1"));
  EXPECT_THAT(folder->Create(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("both")));
  EXPECT_THAT(folder->Create("a"), StatusIs(absl::StatusCode::kAlreadyExists));
  WriteFile(dir / "plain", "1");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto plain, CreateSinkTree(dir / "plain", {.overwrite = true}));
  EXPECT_THAT(plain->Create("a"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is a file")));
}

TEST(SinkTree, DoesNotCommitAFileThatIsOpenOrNone) {
  TempDir dir;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tree, CreateSinkTree(dir / "out"));
  EXPECT_THAT(tree->Commit(), StatusIs(absl::StatusCode::kFailedPrecondition));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto sink, tree->Create("a"));
  EXPECT_EQ(sink->name(), dir / "out/a");
  EXPECT_THAT(tree->Commit(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("\"a\"")));
}

TEST(SinkTree, NamesAParentThatIsMissingAndAPathThatIsNone) {
  TempDir dir;
  WriteFile(dir / "f", "1");
  EXPECT_THAT(CreateSinkTree(dir / "none/out"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(dir / "none")));
  EXPECT_THAT(CreateSinkTree(dir / "f/out"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(CreateSinkTree(""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CreateSinkTree("/"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace cairn
