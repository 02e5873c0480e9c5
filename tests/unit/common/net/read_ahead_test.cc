#include "common/net/read_ahead.h"

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

constexpr uint64_t kKiB = 1024;

// Remembers what was asked for.
class FakeFile final : public RangeFile {
 public:
  explicit FakeFile(uint64_t size) : size_(size) {}
  uint64_t size() const override { return size_; }
  const std::string& name() const override { return name_; }
  absl::Status Fetch(uint64_t offset, absl::Span<char> dst) const override {
    absl::MutexLock lock(&mu_);
    asked_.emplace_back(offset, dst.size());
    if (failures_ > 0) {
      --failures_;
      return absl::UnavailableError("the network is down");
    }
    for (size_t i = 0; i < dst.size(); ++i) dst[i] = Byte(offset + i);
    return absl::OkStatus();
  }
  static char Byte(uint64_t offset) { return static_cast<char>(offset * 2654435761u >> 16); }
  void Fail(int times) {
    absl::MutexLock lock(&mu_);
    failures_ = times;
  }
  std::vector<std::pair<uint64_t, uint64_t>> Asked() const {
    absl::MutexLock lock(&mu_);
    return asked_;
  }
  uint64_t BytesAsked() const {
    uint64_t sum = 0;
    for (const auto& [offset, size] : Asked()) sum += size;
    return sum;
  }

 private:
  const uint64_t size_;
  const std::string name_ = "far";
  mutable absl::Mutex mu_;
  mutable std::vector<std::pair<uint64_t, uint64_t>> asked_;
  mutable int failures_ = 0;
};

void ReadAndCheck(ReadAhead& ahead, const std::shared_ptr<FakeFile>& file, uint64_t offset, uint64_t size) {
  std::string bytes(size, '\0');
  CAIRN_ASSERT_OK(ahead.Read(file, offset, absl::MakeSpan(bytes)));
  for (uint64_t i = 0; i < size; ++i) ASSERT_EQ(bytes[i], FakeFile::Byte(offset + i)) << offset + i;
}

TEST(ReadAheadTest, AsksForLittleWhereLittleIsReadHereAndThere) {
  ReadAhead ahead({.least_bytes = 64 * kKiB, .block_bytes = 1024 * kKiB});
  const auto file = std::make_shared<FakeFile>(100 * 1024 * kKiB);
  for (const uint64_t offset : {90'000'000u, 10'000'000u, 50'000'000u}) ReadAndCheck(ahead, file, offset, 8);
  EXPECT_THAT(file->Asked(), ElementsAre(Pair(90'000'000, 64 * kKiB), Pair(10'000'000, 64 * kKiB), Pair(50'000'000, 64 * kKiB)));
}

TEST(ReadAheadTest, MakesFewRequestsOfAReaderThatGoesOn) {
  ReadAhead ahead({.least_bytes = 4 * kKiB, .block_bytes = 256 * kKiB, .requests = 3, .memory_bytes = 1024 * kKiB});
  const uint64_t size = 8 * 1024 * kKiB + 17;
  const auto file = std::make_shared<FakeFile>(size);
  for (uint64_t offset = 0; offset < size; offset += 3000) ReadAndCheck(ahead, file, offset, std::min<uint64_t>(3000, size - offset));
  EXPECT_EQ(file->BytesAsked(), size);  // Each byte once.
  EXPECT_LE(file->Asked().size(), 60u);
}

TEST(ReadAheadTest, CutsWhatIsLargeIntoBlocksOfWhichEachComesOnce) {
  ReadAhead ahead({.least_bytes = 4 * kKiB, .block_bytes = 256 * kKiB});
  const auto file = std::make_shared<FakeFile>(4 * 1024 * kKiB);
  ReadAndCheck(ahead, file, 1000, 2 * 1024 * kKiB);
  for (const auto& [offset, size] : file->Asked()) EXPECT_LE(size, 256 * kKiB);
  const size_t requests = file->Asked().size();
  ReadAndCheck(ahead, file, 2000, 8);
  EXPECT_EQ(file->Asked().size(), requests);
}

TEST(ReadAheadTest, WastesNoMoreThanWasRead) {
  ReadAhead ahead({.least_bytes = 4 * kKiB, .block_bytes = 256 * kKiB});
  const auto file = std::make_shared<FakeFile>(uint64_t{1} << 40);
  uint64_t read = 0;
  // Pieces of 512 KiB, far from each other.
  for (uint64_t piece = 0; piece < 8; ++piece) {
    for (uint64_t i = 0; i < 8; ++i, read += 64 * kKiB) ReadAndCheck(ahead, file, (piece << 32) + i * 64 * kKiB, 64 * kKiB);
  }
  EXPECT_LE(file->BytesAsked(), 2 * read + 8 * 256 * kKiB);
}

TEST(ReadAheadTest, RefusesWhatLeavesTheFileWithoutAsking) {
  ReadAhead ahead({});
  const auto file = std::make_shared<FakeFile>(100);
  std::string bytes(10, '\0');
  EXPECT_THAT(ahead.Read(file, 95, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(ahead.Read(file, ~uint64_t{0}, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_TRUE(file->Asked().empty());
}

TEST(ReadAheadTest, AsksAgainAfterAnError) {
  ReadAhead ahead({});
  const auto file = std::make_shared<FakeFile>(1000 * kKiB);
  file->Fail(1);
  std::string bytes(10, '\0');
  EXPECT_THAT(ahead.Read(file, 5, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kUnavailable));
  ReadAndCheck(ahead, file, 5, 10);
}

TEST(ReadAheadTest, KeepsBytesApartForManyReadersOfManyFiles) {
  ReadAhead ahead({.least_bytes = 4 * kKiB, .block_bytes = 64 * kKiB, .requests = 3, .memory_bytes = 128 * kKiB});
  std::vector<std::thread> threads;
  for (uint64_t number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      const auto file = std::make_shared<FakeFile>(512 * kKiB + number);
      for (int round = 0; round < 3; ++round) {
        for (uint64_t offset = number; offset + 7777 < file->size(); offset += 7777) ReadAndCheck(ahead, file, offset, 7777);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace cairn::testing
