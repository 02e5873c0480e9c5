// Objects that are written past the page cache, over several buffers. On a file system in memory the same bytes go
// through the cache.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/local_object_store.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/server/store/child_process.h"

namespace cairn::testing {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPiece = 1u << 20;
constexpr uint64_t kHint = 24u << 20;

class DirectObjectWrite : public ::testing::Test {
 protected:
  std::unique_ptr<ObjectStore> Open(uint64_t direct_write_bytes = 32u << 20) {
    return OpenLocalObjectStore({.root = folder_ / "store", .direct_write_bytes = direct_write_bytes}).value();
  }

  // Bytes of which no two pieces are alike.
  static std::string Piece(uint64_t number, uint64_t size = kPiece) {
    std::string bytes(size, static_cast<char>(number));
    const std::string mark = absl::StrCat(absl::Hex(number + 1, absl::kZeroPad8));
    for (uint64_t at = 0; at + mark.size() <= size; at += 512) bytes.replace(at, mark.size(), mark);
    return bytes;
  }

  static absl::Status Append(ObjectWriter& writer, std::string bytes) {
    const Buffer buffer = Buffer::FromString(std::move(bytes));
    return writer.Append({&buffer, 1});
  }

  static std::string Object(uint64_t pieces, absl::string_view end) {
    std::string bytes;
    for (uint64_t i = 0; i < pieces; ++i) bytes += Piece(i);
    return absl::StrCat(bytes, end);
  }

  size_t ScratchFiles() const {
    size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder_ / "store/tmp")) {
      files += entry.is_regular_file() && entry.path().filename() != "lock";
    }
    return files;
  }

  TempDir folder_;
};

TEST_F(DirectObjectWrite, AnObjectShorterOrLongerThanExpectedHasItsBytesAndNoMoreRoom) {
  const auto store = Open();
  for (const uint64_t pieces : {0, 1, 3, 24, 27}) {
    const std::string key = absl::StrCat("o/", pieces);
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store->Create(key, kHint));
    for (uint64_t i = 0; i < pieces; ++i) CAIRN_ASSERT_OK(Append(*writer, Piece(i)));
    CAIRN_ASSERT_OK(Append(*writer, "the end"));
    CAIRN_ASSERT_OK(writer->Seal());
    EXPECT_TRUE(GetObject(*store, key, 64u << 20).value() == Object(pieces, "the end")) << pieces;
    struct stat info;
    ASSERT_EQ(::stat((folder_ / "store/objects/").append(key).c_str(), &info), 0);
    EXPECT_LE(info.st_blocks * 512, static_cast<off_t>((pieces + 1) * kPiece)) << "nothing reserved is left";
  }
}

TEST_F(DirectObjectWrite, MoreObjectsAtOnceThanMemoryAreWrittenAllTheSame) {
  const auto store = Open(8u << 20);
  std::vector<std::unique_ptr<ObjectWriter>> writers;
  for (int i = 0; i < 5; ++i) {
    CAIRN_ASSERT_OK_AND_ASSIGN(auto writer, store->Create(absl::StrCat("many/", i), kHint));
    writers.push_back(std::move(writer));
  }
  for (uint64_t piece = 0; piece < 7; ++piece) {
    for (const auto& writer : writers) CAIRN_ASSERT_OK(Append(*writer, Piece(piece)));
  }
  for (const auto& writer : writers) CAIRN_ASSERT_OK(writer->Seal());
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(GetObject(*store, absl::StrCat("many/", i), 64u << 20).value() == Object(7, "")) << i;
  }
}

TEST_F(DirectObjectWrite, AFailedWriteOfTheQueueFailsTheSealAndLeavesNothing) {
  const absl::Status status = RunInChild([&]() -> absl::Status {
    const auto store = Open();
    const auto writer = store->Create("o/failed", kHint);
    if (!writer.ok()) return absl::UnknownError(writer.status().message());
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {5u << 20, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return absl::UnknownError("setrlimit");
    absl::Status failed;
    for (uint64_t i = 0; i < 12 && failed.ok(); ++i) failed = Append(**writer, Piece(i));
    if (failed.ok()) failed = (*writer)->Seal();
    if ((*writer)->Seal().ok()) return absl::UnknownError("sealed in the end");
    if (ScratchFiles() > 0) return absl::UnknownError("the bytes stay");
    if (!PutObject(*store, "o/fits", Object(3, "")).ok()) return absl::UnknownError("the store is dead after an error");
    return failed;
  });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(Open()->Size("o/failed").status(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(GetObject(*Open(), "o/fits", 64u << 20).value() == Object(3, ""));
}

TEST_F(DirectObjectWrite, WhatAKilledProcessReservedIsRemoved) {
  ChildProcess child([&](const ChildProcess::Report& report) {
    const auto store = Open();
    const auto writer = store->Create("o/killed", kHint);
    absl::Status status = writer.status();
    for (uint64_t i = 0; i < 6 && status.ok(); ++i) status = Append(**writer, Piece(i));
    report(status);
  });
  CAIRN_ASSERT_OK(child.Reported());
  child.Kill();
  const auto store = Open();
  EXPECT_EQ(ScratchFiles(), 1u);
  EXPECT_GT(store->RemoveLeftovers().value(), 0u);
  EXPECT_EQ(ScratchFiles(), 0u);
}

}  // namespace
}  // namespace cairn::testing
