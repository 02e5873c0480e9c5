#include "server/store/object_file_read.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/pattern_bytes.h"
#include "tests/testing/temp_dir.h"

namespace cairn::testing {
namespace {

constexpr uint64_t kBytes = (3u << 20) + 1234;  // More than the aligned memory for reads that do not fit the disk.

// A file that is on the disk and nowhere else, as far as the system does what it is asked for.
class ObjectFileReadTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = directory_ / "object";
    UniqueFd out(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::write(out.get(), bytes_.data(), bytes_.size()), static_cast<ssize_t>(bytes_.size()));
    ASSERT_EQ(::fsync(out.get()), 0);
    file_.fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    file_.size = kBytes;
    file_.direct = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    if (!file_.direct.valid()) GTEST_SKIP() << "no direct reads here";
    Forget();
  }

  void Forget() { ::posix_fadvise(file_.fd.get(), 0, 0, POSIX_FADV_DONTNEED); }

  std::string Read(uint64_t offset, size_t length, size_t misalign) {
    std::vector<char> memory(length + 8192);
    char* aligned = memory.data() + (4096 - reinterpret_cast<uintptr_t>(memory.data()) % 4096);
    const ssize_t n = ReadObjectFile(file_, offset, absl::MakeSpan(aligned + misalign, length));
    EXPECT_GE(n, 0) << std::strerror(static_cast<int>(-n));
    return n < 0 ? "" : std::string(aligned + misalign, static_cast<size_t>(n));
  }

  TempDir directory_;
  const std::string bytes_ = PatternBytes(kBytes, 5);
  OpenFile file_;
};

TEST_F(ObjectFileReadTest, GivesTheSameBytesHoweverRangeAndMemoryLie) {
  for (const uint64_t offset : {0u, 1u, 4095u, 4096u, 1u << 20, (1u << 20) + 7}) {
    for (const size_t length : {size_t{1}, size_t{4096}, size_t{256} << 10, (size_t{1} << 20) + 5, size_t{2} << 20}) {
      for (const size_t misalign : {size_t{0}, size_t{16}}) {
        Forget();
        EXPECT_TRUE(Read(offset, length, misalign) == bytes_.substr(offset, length))
            << offset << "+" << length << ", memory off by " << misalign;
      }
    }
  }
}

TEST_F(ObjectFileReadTest, TakesWhatThePageCacheHasAndTheRestFromTheDisk) {
  char front[5000];
  ASSERT_EQ(::pread(file_.fd.get(), front, sizeof(front), 0), static_cast<ssize_t>(sizeof(front)));
  EXPECT_TRUE(Read(0, 1u << 20, 0) == bytes_.substr(0, 1u << 20));
}

TEST_F(ObjectFileReadTest, SaysHowFarItCameWhereTheFileEnds) {
  for (const size_t misalign : {size_t{0}, size_t{1}}) {
    Forget();
    EXPECT_TRUE(Read(2u << 20, 2u << 20, misalign) == bytes_.substr(2u << 20));
    EXPECT_EQ(Read(kBytes, 1u << 20, misalign), "");
    EXPECT_EQ(Read(kBytes + 9999, 1u << 20, misalign), "");
  }
}

TEST_F(ObjectFileReadTest, ReadsThroughThePageCacheWhereNothingElseGoes) {
  file_.direct = UniqueFd();
  EXPECT_TRUE(Read(3, 1u << 20, 1) == bytes_.substr(3, 1u << 20));
}

TEST_F(ObjectFileReadTest, GivesTheErrorOfTheSystem) {
  file_.fd = UniqueFd(::open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  file_.direct = UniqueFd();
  char byte = 0;
  EXPECT_EQ(ReadObjectFile(file_, 0, absl::MakeSpan(&byte, 1)), -EISDIR);
}

}  // namespace
}  // namespace cairn::testing
