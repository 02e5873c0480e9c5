#include "server/store/local_object_store.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

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
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LocalObjectStore : public ::testing::Test {
 protected:
  std::string root() const { return folder_ / "store"; }

  std::unique_ptr<ObjectStore> Open() const {
    auto store = OpenLocalObjectStore({root(), /*durable=*/false});
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  // Regular files below tmp/ other than locks.
  std::vector<std::string> ScratchFiles() const {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(root() + "/tmp")) {
      if (entry.is_regular_file() && entry.path().filename() != "lock")
        files.push_back(entry.path().string());
    }
    return files;
  }

  size_t ScratchFolders() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(root() + "/tmp"), fs::directory_iterator()));
  }

  static void WriteFile(const std::string& path, const std::string& bytes) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
  }

  TempDir folder_;
};

TEST_F(LocalObjectStore, KeepsObjectsAsReadOnlyFilesOfRawBytes) {
  const auto store = Open();
  CAIRN_ASSERT_OK(PutObject(*store, "team/run/1", "bytes"));
  std::ifstream file(root() + "/objects/team/run/1", std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "bytes");
  struct stat info;
  ASSERT_EQ(::stat((root() + "/objects/team/run/1").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0222, 0u);
  EXPECT_EQ(info.st_nlink, 1u);
  EXPECT_THAT(ScratchFiles(), IsEmpty());
  EXPECT_EQ(store->Describe(), root());
}

TEST_F(LocalObjectStore, FindsItsObjectsWhenOpenedAgain) {
  CAIRN_ASSERT_OK(PutObject(*Open(), "a/b", "bytes"));
  EXPECT_EQ(GetObject(*Open(), "a/b", 100).value(), "bytes");
  EXPECT_EQ(ScratchFolders(), 0u) << "a store that is closed in order leaves no folder";
}

TEST_F(LocalObjectStore, TwoStoresOfOneRootSeeEachOther) {
  const auto first = Open();
  const auto second = Open();
  CAIRN_ASSERT_OK(PutObject(*first, "a/b", "bytes"));
  EXPECT_THAT(PutObject(*second, "a/b", "other"), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(GetObject(*second, "a/b", 100).value(), "bytes");
  // `second` has the file open; a deletion by `first` and a new object of the same key must not hide behind
  // that.
  CAIRN_ASSERT_OK(first->Delete("a/b"));
  std::string bytes(1, '?');
  EXPECT_THAT(second->Read("a/b", 0, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kNotFound));
  CAIRN_ASSERT_OK(PutObject(*first, "a/b", "new"));
  EXPECT_EQ(GetObject(*second, "a/b", 100).value(), "new");
}

TEST_F(LocalObjectStore, DeletingTheLastObjectRemovesItsFolders) {
  const auto store = Open();
  CAIRN_ASSERT_OK(PutObject(*store, "a/b/c/one", "x"));
  CAIRN_ASSERT_OK(PutObject(*store, "a/two", "x"));
  CAIRN_ASSERT_OK(store->Delete("a/b/c/one"));
  EXPECT_FALSE(fs::exists(root() + "/objects/a/b"));
  EXPECT_TRUE(fs::exists(root() + "/objects/a/two"));
}

TEST_F(LocalObjectStore, AWriterMayOutliveItsStore) {
  auto store = Open();
  CAIRN_ASSERT_OK_AND_ASSIGN(auto writer, store->Create("late", 0));
  store.reset();
  EXPECT_EQ(Open()->RemoveLeftovers().value(), 0u);
  CAIRN_ASSERT_OK(writer->Append({Buffer::FromString("bytes")}));
  CAIRN_ASSERT_OK(writer->Seal());
  EXPECT_EQ(GetObject(*Open(), "late", 100).value(), "bytes");
}

TEST_F(LocalObjectStore, RemovesWhatAKilledProcessLeftAndNothingOfALiveOne) {
  const auto store = Open();
  const auto write_and_wait = [&](const ChildProcess::Report& report) {
    const auto own = OpenLocalObjectStore({root(), false});
    if (!own.ok()) report(own.status());
    const auto writer = (*own)->Create("unsealed", 0);
    if (!writer.ok()) report(writer.status());
    report((*writer)->Append({Buffer::FromString(std::string(1000, 'x'))}));
  };
  ChildProcess killed(write_and_wait);
  ChildProcess live(write_and_wait);
  CAIRN_ASSERT_OK(killed.Reported());
  CAIRN_ASSERT_OK(live.Reported());
  EXPECT_EQ(store->RemoveLeftovers().value(), 0u);
  EXPECT_EQ(ScratchFiles().size(), 2u);

  killed.Kill();
  EXPECT_EQ(store->RemoveLeftovers().value(), 1000u);
  EXPECT_EQ(ScratchFiles().size(), 1u);
  EXPECT_EQ(ScratchFolders(), 2u) << "those of the live child and of this process";
  EXPECT_EQ(store->RemoveLeftovers().value(), 0u);

  live.Kill();
  EXPECT_EQ(store->RemoveLeftovers().value(), 1000u);
  EXPECT_THAT(ScratchFiles(), IsEmpty());
  EXPECT_THAT(store->Size("unsealed"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(LocalObjectStore, ACrashRightAfterTheSealCostsNothingOfTheObject) {
  const auto store = Open();
  CAIRN_ASSERT_OK(PutObject(*store, "sealed", "bytes"));
  // What a process leaves that dies between link() and unlink().
  WriteFile(root() + "/tmp/0123456789abcdef/lock", "");
  fs::create_hard_link(root() + "/objects/sealed", root() + "/tmp/0123456789abcdef/0");
  EXPECT_EQ(store->RemoveLeftovers().value(), 0u) << "no bytes were set free";
  EXPECT_THAT(ScratchFiles(), IsEmpty());
  EXPECT_EQ(GetObject(*store, "sealed", 100).value(), "bytes");
}

TEST_F(LocalObjectStore, RemoveLeftoversLeavesAloneWhatIsNotItsOwn) {
  const auto store = Open();
  WriteFile(root() + "/tmp/note.txt", "of the operator");
  WriteFile(root() + "/tmp/folder/data", "no lock beside it");
  WriteFile(root() + "/tmp/dead/lock", "");
  WriteFile(root() + "/tmp/dead/below/data", "no file of a store");
  fs::create_directories(root() + "/tmp/just-made");
  EXPECT_EQ(store->RemoveLeftovers().value(), 0u);
  EXPECT_TRUE(fs::exists(root() + "/tmp/note.txt"));
  EXPECT_TRUE(fs::exists(root() + "/tmp/folder/data"));
  EXPECT_TRUE(fs::exists(root() + "/tmp/dead/below/data"));
  EXPECT_FALSE(fs::exists(root() + "/tmp/just-made"));
}

TEST_F(LocalObjectStore, ListPassesOverWhatCanBeNoObject) {
  const auto store = Open();
  CAIRN_ASSERT_OK(PutObject(*store, "a/real", "x"));
  WriteFile(root() + "/objects/a/with space", "x");
  WriteFile(root() + "/objects/lost+found/file", "x");
  fs::create_directories(root() + "/objects/empty/folder");
  fs::create_symlink(root() + "/objects/a", root() + "/objects/link");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto listed, store->List("", "", 10));
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].key, "a/real");
}

TEST_F(LocalObjectStore, AFileTruncatedBehindItsBackIsDataLoss) {
  const auto store = Open();
  CAIRN_ASSERT_OK(PutObject(*store, "shrinks", "0123456789"));
  std::string bytes(10, '?');
  CAIRN_ASSERT_OK(store->Read("shrinks", 0, absl::MakeSpan(bytes)));
  fs::permissions(root() + "/objects/shrinks", static_cast<fs::perms>(0600));
  fs::resize_file(root() + "/objects/shrinks", 4);
  EXPECT_THAT(
      store->Read("shrinks", 0, absl::MakeSpan(bytes)),
      StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("objects/shrinks"), HasSubstr("expected 10"))));
}

TEST_F(LocalObjectStore, ReadsMoreObjectsThanItKeepsOpen) {
  const auto store = Open();
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 200; ++i) {
      const std::string key = absl::StrCat("many/", i);
      if (round == 0) {
        CAIRN_ASSERT_OK(PutObject(*store, key, key));
      }
      ASSERT_EQ(GetObject(*store, key, 100).value(), key);
    }
  }
  const auto open_files = std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  EXPECT_LT(open_files, 120);
}

TEST_F(LocalObjectStore, ADeletedObjectIsNotKeptOpen) {
  const auto store = Open();
  CAIRN_ASSERT_OK(PutObject(*store, "gone", "bytes"));
  CAIRN_ASSERT_OK(GetObject(*store, "gone", 100));
  CAIRN_ASSERT_OK(store->Delete("gone"));
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    EXPECT_THAT(fs::read_symlink(entry, ignored).string(), ::testing::Not(HasSubstr("objects/gone")))
        << "its disk blocks would stay taken";
  }
}

// A limit on the size of files stands in for a full disk: both end a write in the middle.
TEST_F(LocalObjectStore, AFullDiskIsResourceExhaustedAndGivesTheRoomBack) {
  const absl::Status status = RunInChild([&]() -> absl::Status {
    const auto store = OpenLocalObjectStore({root(), false});
    if (!store.ok()) return absl::UnknownError(store.status().message());
    const auto writer = (*store)->Create("too-large", 0);
    if (!writer.ok()) return absl::UnknownError(writer.status().message());
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {10'000, 10'000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return absl::UnknownError("setrlimit");
    const Buffer piece = Buffer::FromString(std::string(3'000, 'x'));
    const absl::Status full = (*writer)->Append({piece, piece, piece, piece});
    if ((*writer)->Append({Buffer::FromString("x")}) != full || (*writer)->Seal() != full) {
      return absl::UnknownError("the writer lives on after an error");
    }
    if (!ScratchFiles().empty()) return absl::UnknownError("the bytes stay on the full disk");
    if (!PutObject(**store, "fits", "small").ok())
      return absl::UnknownError("the store is dead after an error");
    return full;
  });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted,
                               AllOf(HasSubstr("too-large"), HasSubstr("byte 10000"), HasSubstr(root()),
                                     HasSubstr("ulimit -f"))));
  EXPECT_THAT(Open()->Size("too-large"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(LocalObjectStore, TooManyOpenFilesIsResourceExhausted) {
  const absl::Status status = RunInChild([&]() -> absl::Status {
    const auto store = OpenLocalObjectStore({root(), false});
    if (!store.ok()) return absl::UnknownError(store.status().message());
    const rlimit limit = {0, 0};
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return absl::UnknownError("setrlimit");
    return (*store)->Create("key", 0).status();
  });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("ulimit -n")));
}

TEST_F(LocalObjectStore, ADirectoryThatMayNotBeWrittenIsPermissionDenied) {
  const auto store = Open();
  CAIRN_ASSERT_OK(PutObject(*store, "there", "bytes"));
  // Everybody may look, nobody may write.
  fs::permissions(folder_.path(), static_cast<fs::perms>(0755));
  for (const auto& entry : fs::recursive_directory_iterator(root())) {
    if (entry.is_directory()) fs::permissions(entry, static_cast<fs::perms>(0555));
  }
  fs::permissions(root(), static_cast<fs::perms>(0555));
  const auto denied = [&](const std::function<absl::Status()>& body) {
    return RunInChild([&] {
      BecomeNobody();
      return body();
    });
  };
  EXPECT_THAT(
      denied([&] { return store->Create("new", 0).status(); }),
      StatusIs(absl::StatusCode::kPermissionDenied, AllOf(HasSubstr(root()), HasSubstr("allow user"))));
  EXPECT_THAT(denied([&] { return store->Delete("there"); }),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("objects/there")));
  EXPECT_THAT(denied([&] {
                return OpenLocalObjectStore({root(), false}).status();
              }),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr(root() + "/tmp")));
  EXPECT_THAT(denied([&] {
                return OpenLocalObjectStore({root() + "/sub", false}).status();
              }),
              StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr(root() + "/sub")));
  for (const auto& entry : fs::recursive_directory_iterator(root())) {
    if (entry.is_directory()) fs::permissions(entry, static_cast<fs::perms>(0755));
  }
  fs::permissions(root(), static_cast<fs::perms>(0755));
}

TEST_F(LocalObjectStore, AScratchFolderThatIsGoneIsNoMissingObject) {
  const auto store = Open();
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store->Create("started", 0));
  fs::remove_all(root() + "/tmp");
  EXPECT_THAT(writer->Seal(), StatusIs(absl::StatusCode::kInternal, HasSubstr("removed or unmounted")));
  EXPECT_THAT(store->Create("later", 0),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("removed or unmounted")));
}

TEST_F(LocalObjectStore, OpensOnlyBelowAFolderThatExists) {
  EXPECT_THAT(OpenLocalObjectStore({folder_ / "missing/store"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("missing")));
  EXPECT_THAT(OpenLocalObjectStore({""}), StatusIs(absl::StatusCode::kInvalidArgument));
  WriteFile(folder_ / "file", "x");
  EXPECT_THAT(OpenLocalObjectStore({folder_ / "file"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("file")));
}

TEST_F(LocalObjectStore, TakesARelativeRootAndATrailingSlash) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto store, OpenLocalObjectStore({root() + "//", false}));
  EXPECT_EQ(store->Describe(), root());
}

TEST_F(LocalObjectStore, TellsTheSpaceOfItsFileSystem) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const ObjectStore::Space space, Open()->GetSpace());
  EXPECT_EQ(space.total_bytes, fs::space(folder_.path()).capacity);
}

}  // namespace
}  // namespace cairn::testing
