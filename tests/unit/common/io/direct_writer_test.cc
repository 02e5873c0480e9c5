#include "common/io/direct_writer.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>

#include "common/io/posix_file.h"
#include "common/io/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace {

// What the system does to writes.
std::atomic<size_t> g_longest_write{SIZE_MAX};
std::atomic<int> g_writes_until_error{-1};  // -1: none fails.

}  // namespace

// In place of the C library's.
extern "C" ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  if (g_writes_until_error >= 0 && g_writes_until_error.fetch_sub(1) == 0) {
    errno = EIO;
    return -1;
  }
  return ::syscall(SYS_pwrite64, fd, bytes, std::min(size, g_longest_write.load()), offset);
}

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::cairn::testing::TempDir;
using ::testing::HasSubstr;

constexpr size_t kBuffer = IoBuffer::kBytes;
constexpr size_t kMany = kBuffer * (DirectWriterOptions().buffers + 2);

// Several writes under way, in room that is reserved.
constexpr DirectWriterOptions kQueued = {
    .buffers = 2, .write_bytes = kBuffer / 4, .threads = 3, .expected_end = 2 * kMany};

// No two pages of it alike.
std::string Bytes(size_t count) {
  std::string bytes(count, '\0');
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(i % 251 + i / 4096);
  return bytes;
}

UniqueFd Create(const std::string& path) { return UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)); }

std::string Contents(const std::string& path) { return ReadSmallFile(path, 64 << 20).value(); }

TEST(DirectWriter, WritesWhatIsAppendedWhateverThePieces) {
  const std::string bytes = Bytes(kMany + 12345);
  for (const DirectWriterOptions& options : {DirectWriterOptions(), kQueued}) {
    for (const size_t piece : {size_t{4093}, size_t{1} << 20, kBuffer, bytes.size()}) {
      TempDir dir;
      const UniqueFd fd = Create(dir / "f");
      DirectWriter writer(fd.get(), 0, dir / "f", options);
      for (size_t at = 0; at < bytes.size(); at += piece) CAIRN_ASSERT_OK(writer.Append(absl::string_view(bytes).substr(at, piece)));
      CAIRN_ASSERT_OK(writer.Finish());
      EXPECT_TRUE(Contents(dir / "f") == bytes) << piece << " with " << options.threads << " threads";
    }
  }
}

TEST(DirectWriter, ReservesTheRoomThatIsExpectedAndGivesBackWhatIsNotUsed) {
  TempDir dir;
  const UniqueFd fd = Create(dir / "f");
  DirectWriter writer(fd.get(), 0, dir / "f", kQueued);
  CAIRN_ASSERT_OK(writer.Append(Bytes(kBuffer + 1)));
  struct stat info;
  ASSERT_EQ(::fstat(fd.get(), &info), 0);
  if (static_cast<uint64_t>(info.st_size) < kQueued.expected_end) GTEST_SKIP() << "this file system reserves nothing";
  CAIRN_ASSERT_OK(writer.Finish());
  ASSERT_EQ(::fstat(fd.get(), &info), 0);
  EXPECT_EQ(info.st_size, static_cast<off_t>(kBuffer + 1));
  EXPECT_LT(info.st_blocks * 512, static_cast<off_t>(2 * kBuffer));
}

TEST(DirectWriter, GrowsBeyondWhatWasExpected) {
  TempDir dir;
  const UniqueFd fd = Create(dir / "f");
  const std::string bytes = Bytes(kMany + 77);
  DirectWriter writer(fd.get(), 0, dir / "f", {.threads = 2, .expected_end = kBuffer + 4096});
  CAIRN_ASSERT_OK(writer.Append(bytes));
  CAIRN_ASSERT_OK(writer.Finish());
  EXPECT_TRUE(Contents(dir / "f") == bytes);
}

TEST(DirectWriter, TakesItsBuffersFromAPoolAndGivesThemBack) {
  TempDir dir;
  IoBufferPool pool(1);
  IoBuffer buffer = pool.Take();
  const char* const memory = buffer.data();
  pool.Give(std::move(buffer));
  const std::string bytes = Bytes(kMany);
  for (const char* name : {"f", "g"}) {
    const UniqueFd fd = Create(dir / name);
    DirectWriter writer(fd.get(), 0, dir / name, {.pool = &pool});
    CAIRN_ASSERT_OK(writer.Append(bytes));
    EXPECT_NE(pool.Take().data(), memory) << "while the writer has it";
    CAIRN_ASSERT_OK(writer.Finish());
    EXPECT_TRUE(Contents(dir / name) == bytes);
  }
  EXPECT_FALSE(pool.Take().empty());
}

TEST(DirectWriter, GoesOnWhereTheFrontOfTheFileEnds) {
  TempDir dir;
  const UniqueFd fd = Create(dir / "f");
  const std::string front(DirectWriter::kAlignment, 'a');
  ASSERT_EQ(::write(fd.get(), front.data(), front.size()), static_cast<ssize_t>(front.size()));
  const std::string rest = Bytes(kMany + 1);
  DirectWriter writer(fd.get(), front.size(), dir / "f");
  CAIRN_ASSERT_OK(writer.Append(rest));
  CAIRN_ASSERT_OK(writer.Finish());
  EXPECT_TRUE(Contents(dir / "f") == front + rest);
}

TEST(DirectWriter, WritesThroughThePageCacheWhereDirectWritesAreRefused) {
  TempDir dir;
  const UniqueFd fd = Create(dir / "f");
  const std::string bytes = Bytes(kMany);
  // No file system takes a direct write at such an offset.
  DirectWriter writer(fd.get(), 1, dir / "f", kQueued);
  CAIRN_ASSERT_OK(writer.Append(bytes));
  CAIRN_ASSERT_OK(writer.Finish());
  EXPECT_TRUE(Contents(dir / "f") == std::string(1, '\0') + bytes);
}

// Of a process for as long as it lives: the kernel writes up to there and refuses the rest.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

TEST(DirectWriter, AWriteThatStopsInTheMiddleOfTheQueueIsAnError) {
  const std::string bytes = Bytes(kMany);
  for (const size_t limit : {kBuffer + 4096, 3 * kBuffer, 3 * kBuffer + 100}) {
    TempDir dir;
    const UniqueFd fd = Create(dir / "f");
    const FileSizeLimit limited(limit);
    DirectWriter writer(fd.get(), 0, dir / "f", kQueued);
    absl::Status status = writer.Append(bytes);
    if (status.ok()) status = writer.Finish();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("write"))) << limit;
    EXPECT_THAT(writer.Finish(), StatusIs(absl::StatusCode::kResourceExhausted)) << "and stays one";
    EXPECT_LE(Contents(dir / "f").size(), limit);
  }
}

TEST(DirectWriter, GoesOnWhereAShortWriteStopped) {
  const std::string bytes = Bytes(kMany + 12345);
  for (const size_t longest : {size_t{3 * 4096}, size_t{100'000}}) {  // The second stops within a block.
    TempDir dir;
    const UniqueFd fd = Create(dir / "f");
    g_longest_write = longest;
    DirectWriter writer(fd.get(), 0, dir / "f", kQueued);
    absl::Status status = writer.Append(bytes);
    if (status.ok()) status = writer.Finish();
    g_longest_write = SIZE_MAX;
    CAIRN_ASSERT_OK(status);
    EXPECT_TRUE(Contents(dir / "f") == bytes) << longest;
  }
}

TEST(DirectWriter, OneFailedWriteAmongManyIsTheResult) {
  for (const int before : {0, 3, 11, 23}) {
    TempDir dir;
    const UniqueFd fd = Create(dir / "f");
    g_writes_until_error = before;
    DirectWriter writer(fd.get(), 0, dir / "f", kQueued);
    absl::Status status = writer.Append(Bytes(kMany));
    if (status.ok()) status = writer.Finish();
    g_writes_until_error = -1;
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("write"))) << before;
  }
}

TEST(DirectWriter, GivesTheErrorOfAnEarlierWriteAndEndsWithIt) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full.valid());
  for (const DirectWriterOptions& options : {DirectWriterOptions(), kQueued}) {
    DirectWriter writer(full.get(), 0, "the target", options);
    const std::string bytes = Bytes(kMany);
    absl::Status status;
    // It may take all buffers until the first of them has failed.
    for (int i = 0; i < 3 && status.ok(); ++i) status = writer.Append(bytes);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("write the target")));
    EXPECT_THAT(writer.Finish(), StatusIs(absl::StatusCode::kResourceExhausted));
  }
}

TEST(DirectWriter, MayBeLeftWithoutFinishing) {
  TempDir dir;
  const UniqueFd fd = Create(dir / "f");
  DirectWriter writer(fd.get(), 0, dir / "f", kQueued);
  CAIRN_ASSERT_OK(writer.Append(Bytes(kMany)));
}

TEST(DirectWriter, WritesWhatIsShorterThanABuffer) {
  TempDir dir;
  const UniqueFd fd = Create(dir / "f");
  DirectWriter writer(fd.get(), 0, dir / "f", kQueued);
  CAIRN_ASSERT_OK(writer.Append("short"));
  CAIRN_ASSERT_OK(writer.Finish());
  EXPECT_EQ(Contents(dir / "f"), "short");
}

}  // namespace
}  // namespace cairn
