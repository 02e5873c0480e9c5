#include "common/io/direct_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "common/io/posix_file.h"
#include "common/io/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::cairn::testing::TempDir;
using ::testing::HasSubstr;

constexpr size_t kMany = DirectWriter::kBufferBytes * (DirectWriter::kBuffers + 2);

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
  for (const size_t piece : {size_t{4093}, size_t{1} << 20, DirectWriter::kBufferBytes, bytes.size()}) {
    TempDir dir;
    const UniqueFd fd = Create(dir / "f");
    DirectWriter writer(fd.get(), 0, dir / "f");
    for (size_t at = 0; at < bytes.size(); at += piece) CAIRN_ASSERT_OK(writer.Append(absl::string_view(bytes).substr(at, piece)));
    CAIRN_ASSERT_OK(writer.Finish());
    EXPECT_TRUE(Contents(dir / "f") == bytes) << piece;
  }
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
  DirectWriter writer(fd.get(), 1, dir / "f");
  CAIRN_ASSERT_OK(writer.Append(bytes));
  CAIRN_ASSERT_OK(writer.Finish());
  EXPECT_TRUE(Contents(dir / "f") == std::string(1, '\0') + bytes);
}

TEST(DirectWriter, GivesTheErrorOfAnEarlierWriteAndEndsWithIt) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full.valid());
  DirectWriter writer(full.get(), 0, "the target");
  const std::string bytes = Bytes(kMany);
  absl::Status status;
  // It may take all buffers until the first of them has failed.
  for (int i = 0; i < 3 && status.ok(); ++i) status = writer.Append(bytes);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("write the target")));
  EXPECT_THAT(writer.Finish(), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(DirectWriter, MayBeLeftWithoutFinishing) {
  TempDir dir;
  const UniqueFd fd = Create(dir / "f");
  DirectWriter writer(fd.get(), 0, dir / "f");
  CAIRN_ASSERT_OK(writer.Append(Bytes(kMany)));
}

}  // namespace
}  // namespace cairn
