#include "client/cpp/src/entry_appender.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::client {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

MATCHER_P(Holds, value, "is OK and holds the value") { return arg.ok() && *arg == value; }

constexpr uint32_t kChunk = 32 << 10;
constexpr size_t kLarge = 20 << 10;  // Not gathered.

std::string Bytes(size_t size) {
  std::string bytes;
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 31 + i / 255));
  return bytes;
}

class EntryAppenderTest : public ::testing::Test {
 protected:
  // Begins an entry of so many bytes, of which the daemon has the first `durable`.
  void Begin(uint64_t bytes, uint64_t durable = 0) {
    ShardStatus shard;
    shard.path = KeyPath::Of({"f"});
    shard.durable_bytes = durable;
    shard.total_bytes = bytes;
    SavedShards saved;
    saved.Add(shard);
    auto entry = *UploadEntry::Make(Entry::Asset(KeyPath::Of({"f"}), bytes), std::nullopt, nullptr);
    entry_ = entry.get();
    ASSERT_THAT(window_.Add(std::move(entry), saved), Holds(true));
    appender_.Begin(entry_);
  }
  absl::StatusOr<bool> Append(const std::string& bytes) { return appender_.Append(Buffer::FromString(bytes)); }
  void AppendAll(const std::string& bytes, const std::vector<size_t>& sizes) {
    size_t at = 0;
    for (const size_t size : sizes) {
      CAIRN_ASSERT_OK(Append(bytes.substr(at, size)));
      at += size;
    }
    ASSERT_EQ(at, bytes.size());
  }
  // What the window would send, from `offset` on.
  std::string Pushed(uint64_t offset) {
    BlockPool pool(1, 1);
    auto pieces = entry_->Read(offset, entry_->available() - offset, pool);
    std::string bytes;
    for (const Buffer& piece : *pieces) bytes.append(piece.data(), piece.size());
    return bytes;
  }

  PutCounters counters_;
  PutWindow window_{{kChunk, 1 << 30, 1 << 30, 100}, &counters_};
  EntryAppender appender_{&window_, kChunk};
  UploadEntry* entry_ = nullptr;
};

TEST_F(EntryAppenderTest, GathersSmallPieces) {
  const std::string bytes = Bytes(100);
  Begin(bytes.size());
  for (size_t i = 0; i < bytes.size(); i += 10) EXPECT_THAT(Append(bytes.substr(i, 10)), Holds(false));
  EXPECT_EQ(entry_->available(), 0u);
  CAIRN_ASSERT_OK(appender_.Finish());
  EXPECT_EQ(Pushed(0), bytes);
  EXPECT_TRUE(entry_->complete);
  EXPECT_EQ(appender_.entry(), nullptr);
}

TEST_F(EntryAppenderTest, KeepsTheOrderOfSmallAndLargePieces) {
  const std::string bytes = Bytes(3 * kLarge + 30);
  Begin(bytes.size());
  AppendAll(bytes, {7, kLarge, 11, kLarge, kLarge, 12});
  CAIRN_ASSERT_OK(appender_.Finish());
  EXPECT_EQ(Pushed(0), bytes);
}

// Wherever the durable bytes end: in a small piece, in a large one, at a border.
TEST_F(EntryAppenderTest, DropsWhatTheDaemonHas) {
  const std::string bytes = Bytes(2 * kLarge + 20);
  for (const size_t durable : {size_t{1}, size_t{9}, size_t{10}, size_t{11}, 10 + kLarge, 15 + kLarge, 30 + kLarge,
                               20 + 2 * kLarge}) {
    Begin(bytes.size(), durable);
    AppendAll(bytes, {10, kLarge, 10, kLarge});
    CAIRN_ASSERT_OK(appender_.Finish());
    EXPECT_EQ(Pushed(durable), bytes.substr(durable)) << durable;
  }
}

TEST_F(EntryAppenderTest, RefusesTooManyAndTooFewBytes) {
  EXPECT_THAT(Append("x"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(appender_.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition));
  Begin(4);
  CAIRN_ASSERT_OK(Append("abc"));
  EXPECT_THAT(Append("de"), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("up to 5")));
  EXPECT_THAT(appender_.Finish(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 of 4")));
  CAIRN_ASSERT_OK(Append("d"));
  CAIRN_ASSERT_OK(appender_.Finish());
  EXPECT_EQ(Pushed(0), "abcd");
}

}  // namespace
}  // namespace cairn::client
