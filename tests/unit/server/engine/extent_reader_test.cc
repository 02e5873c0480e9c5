#include "server/engine/extent_reader.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/base/crc32c.h"
#include "common/base/error_info.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/memory_object_store.h"
#include "tests/testing/pattern_bytes.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct StoreRead {
  uint64_t offset;
  uint64_t length;
  bool operator==(const StoreRead&) const = default;
};
void PrintTo(const StoreRead& read, std::ostream* out) { *out << read.offset << "+" << read.length; }

// One object "o" in memory, of which it is known what was read, and where reading fails or waits.
class WatchedStore final : public ObjectStore {
 public:
  explicit WatchedStore(std::string bytes) : bytes_(std::move(bytes)) {}

  absl::Status Read(absl::string_view, uint64_t offset, absl::Span<char> dst) override {
    {
      absl::MutexLock lock(&mu_);
      reads_.push_back({offset, dst.size()});
    }
    if (held_at == offset) {
      arrived.Notify();
      go_on.WaitForNotification();
    }
    if (offset + dst.size() > bytes_.size()) return absl::OutOfRangeError("leaves the object");
    if (fails_at >= offset && fails_at < offset + dst.size()) return absl::InternalError("the disk: input/output error");
    std::copy_n(bytes_.data() + offset, dst.size(), dst.data());
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(absl::string_view, uint64_t) override { return kNothing; }
  absl::StatusOr<uint64_t> Size(absl::string_view) override { return kNothing; }
  absl::Status Delete(absl::string_view) override { return kNothing; }
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view, absl::string_view, size_t) override { return kNothing; }
  absl::StatusOr<uint64_t> RemoveLeftovers() override { return kNothing; }
  absl::StatusOr<Space> GetSpace() override { return kNothing; }
  std::string Describe() const override { return "watched"; }

  std::vector<StoreRead> reads() const {
    absl::MutexLock lock(&mu_);
    return reads_;
  }

  // Set before anything is read.
  std::optional<uint64_t> held_at;
  uint64_t fails_at = UINT64_MAX;
  absl::Notification arrived;
  absl::Notification go_on;

 private:
  const absl::Status kNothing = absl::UnimplementedError("only reads");
  const std::string bytes_;
  mutable absl::Mutex mu_;
  std::vector<StoreRead> reads_ ABSL_GUARDED_BY(mu_);
};

const Manifest kManifest{.objects = {"o"}};

class ExtentReaderTest : public ::testing::Test {
 protected:
  // Extents of that size, one behind the other. What they were when they were written.
  std::vector<Extent> Extents(size_t count, uint32_t size) {
    std::vector<Extent> extents;
    for (size_t i = 0; i < count; ++i) {
      const absl::string_view bytes = absl::string_view(bytes_).substr(i * size, size);
      extents.push_back({.digest = DigestOf(bytes, DigestAlgorithm::kXxh3), .offset = i * size, .stored_bytes = size, .raw_bytes = size});
    }
    return extents;
  }

  void ExpectRead(ExtentReader& reader, const Extent& extent) {
    uint32_t crc = 0;
    CAIRN_ASSERT_OK_AND_ASSIGN(const Buffer bytes, reader.Read(kManifest, extent, &crc));
    EXPECT_TRUE(bytes.bytes() == absl::string_view(bytes_).substr(extent.offset, extent.raw_bytes)) << extent.offset;
    EXPECT_EQ(crc, Crc32c(bytes.bytes()));
  }

  const std::string bytes_ = PatternBytes(4u << 20, 3);
  ThreadPool pool_{"read", 2};
};

TEST_F(ExtentReaderTest, ReadsSmallNeighboursWithOneCall) {
  WatchedStore store(bytes_);
  ExtentReader reader(store, 0);
  const std::vector<Extent> extents = Extents(100, 4096);
  for (const Extent& extent : extents) reader.WillRead(kManifest, extent, /*checksum=*/true);
  EXPECT_EQ(reader.ahead_bytes(), 100u * 4096);
  reader.StartAhead(nullptr, nullptr);
  EXPECT_THAT(store.reads(), IsEmpty()) << "without threads it is read when it is wanted";
  for (const Extent& extent : extents) ExpectRead(reader, extent);
  EXPECT_THAT(store.reads(), ElementsAre(StoreRead{0, 100 * 4096}));
  EXPECT_EQ(reader.ahead_bytes(), 0u);
}

TEST_F(ExtentReaderTest, ReadsApartWhatDoesNotLieTogetherOrIsMuch) {
  WatchedStore store(bytes_);
  ExtentReader reader(store, 1u << 20);
  const std::vector<Extent> small = Extents(8, 4096);
  const std::vector<Extent> large = Extents(3, 1u << 20);
  for (const Extent& extent : {small[0], small[2], small[3], large[1], large[2]}) reader.WillRead(kManifest, extent, false);
  for (const Extent& extent : {small[0], small[2], small[3], large[1], large[2]}) ExpectRead(reader, extent);
  EXPECT_THAT(store.reads(), ElementsAre(StoreRead{0, 4096}, StoreRead{8192, 8192}, StoreRead{1u << 20, 1u << 20},
                                         StoreRead{2u << 20, 1u << 20}));
}

TEST_F(ExtentReaderTest, OtherThreadsReadWhatComesWhileTheReaderIsElsewhere) {
  WatchedStore store(bytes_);
  store.held_at = 0;
  ExtentReader reader(store, 0);
  const std::vector<Extent> extents = Extents(4, 1u << 20);
  for (const Extent& extent : extents) reader.WillRead(kManifest, extent, false);
  ThreadPool caller("caller", 1);
  absl::Notification done;
  reader.StartAhead(&pool_, nullptr);
  caller.Schedule([&] {
    ExpectRead(reader, extents[0]);
    done.Notify();
  });
  store.arrived.WaitForNotification();
  // The first read hangs; those behind it do not wait for it.
  while (store.reads().size() < 4) absl::SleepFor(absl::Milliseconds(1));
  store.go_on.Notify();
  done.WaitForNotification();
  for (size_t i = 1; i < 4; ++i) ExpectRead(reader, extents[i]);
  EXPECT_THAT(store.reads(), SizeIs(4));
}

TEST_F(ExtentReaderTest, AFailedReadAheadIsTheErrorOfWhoAsksForThatExtent) {
  WatchedStore store(bytes_);
  store.fails_at = 5u << 19;  // In the third.
  ExtentReader reader(store, 0);
  const std::vector<Extent> extents = Extents(4, 1u << 20);
  for (const Extent& extent : extents) reader.WillRead(kManifest, extent, false);
  reader.StartAhead(&pool_, nullptr);
  ExpectRead(reader, extents[0]);
  ExpectRead(reader, extents[1]);
  const absl::Status failed = reader.Read(kManifest, extents[2]).status();
  EXPECT_THAT(failed, StatusIs(absl::StatusCode::kInternal, HasSubstr("input/output error")));
  EXPECT_EQ(GetErrorInfo(failed).metadata.at("object"), "o");
  EXPECT_EQ(GetErrorInfo(failed).metadata.at("offset"), "2097152");
  ExpectRead(reader, extents[3]);
}

TEST_F(ExtentReaderTest, DamageIsThatOfTheOneExtentAmongItsNeighbours) {
  std::string damaged = bytes_;
  damaged[2 * 4096 + 17] = static_cast<char>(damaged[2 * 4096 + 17] ^ 1);
  WatchedStore store(damaged);
  ExtentReader reader(store, 0);
  const std::vector<Extent> extents = Extents(4, 4096);
  for (const Extent& extent : extents) reader.WillRead(kManifest, extent, false);
  ExpectRead(reader, extents[0]);
  ExpectRead(reader, extents[1]);
  EXPECT_THAT(reader.Read(kManifest, extents[2]),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("object o, bytes 8192+4096: digest is")));
  ExpectRead(reader, extents[3]);
}

TEST_F(ExtentReaderTest, OfAnObjectThatEndsTooEarlyTheExtentsBeforeTheEndAreWhole) {
  WatchedStore store(bytes_.substr(0, 3 * 4096 - 1));
  ExtentReader reader(store, 0);
  const std::vector<Extent> extents = Extents(4, 4096);
  for (const Extent& extent : extents) reader.WillRead(kManifest, extent, true);
  ExpectRead(reader, extents[0]);
  ExpectRead(reader, extents[1]);
  for (size_t i = 2; i < 4; ++i) {
    EXPECT_THAT(reader.Read(kManifest, extents[i]), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("leaves the object"))) << i;
  }
}

TEST_F(ExtentReaderTest, ItsEndWaitsForNoReadAndBeginsNone) {
  WatchedStore store(bytes_);
  store.held_at = 1u << 20;
  ByteBudget budget(8u << 20);
  {
    ThreadPool pool("read", 1);
    {
      ExtentReader reader(store, 0);
      for (const Extent& extent : Extents(4, 1u << 20)) reader.WillRead(kManifest, extent, false);
      reader.StartAhead(&pool, std::make_shared<const ByteBudget::Reservation>(budget.TryAcquire(4u << 20)));
      store.arrived.WaitForNotification();
    }
    EXPECT_EQ(budget.in_use(), 4u << 20) << "a read is on its way into memory";
    store.go_on.Notify();
  }
  EXPECT_THAT(store.reads(), ElementsAre(StoreRead{1u << 20, 1u << 20}));
  EXPECT_EQ(budget.in_use(), 0u);
}

TEST_F(ExtentReaderTest, KeepsWhatWasReadLastAsFarAsItMay) {
  WatchedStore store(bytes_);
  ExtentReader reader(store, 2u << 20);
  const std::vector<Extent> extents = Extents(3, 1u << 20);
  for (const size_t i : {0u, 1u, 0u, 1u, 2u, 1u, 0u}) ExpectRead(reader, extents[i]);
  EXPECT_THAT(store.reads(), SizeIs(4)) << "three of them once, and the first again";
}

TEST_F(ExtentReaderTest, WhatIsAnnouncedTwiceIsReadOnce) {
  WatchedStore store(bytes_);
  ExtentReader reader(store, 0);
  const std::vector<Extent> extents = Extents(2, 1u << 20);
  for (const size_t i : {0u, 1u, 0u}) reader.WillRead(kManifest, extents[i], false);
  EXPECT_EQ(reader.ahead_bytes(), 2u << 20);
}

}  // namespace
}  // namespace cairn::testing
