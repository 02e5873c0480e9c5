#include "client/cpp/src/put_window.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "client/cpp/src/saved_shards.h"
#include "client/cpp/src/upload_entry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::client {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

MATCHER_P(Holds, value, "is OK and holds the value") { return arg.ok() && *arg == value; }

constexpr uint32_t kChunk = 100;

class PutWindowTest : public ::testing::Test {
 protected:
  static std::unique_ptr<UploadEntry> Pulled(const std::string& name, uint64_t bytes) {
    auto entry = UploadEntry::Make(Entry::Asset(KeyPath::Of({name}), bytes), std::nullopt,
                                   EntryBytes::Of(Buffer::FromString(std::string(bytes, 'x'))));
    (*entry)->complete = true;
    return *std::move(entry);
  }
  static std::unique_ptr<UploadEntry> Pushed(const std::string& name, uint64_t bytes) {
    return *UploadEntry::Make(Entry::Asset(KeyPath::Of({name}), bytes), std::nullopt, nullptr);
  }
  static ShardStatus Saved(const std::string& name, uint64_t durable, uint64_t total, bool finished) {
    ShardStatus shard;
    shard.path = KeyPath::Of({name});
    shard.durable_bytes = durable;
    shard.total_bytes = total;
    shard.finished = finished;
    return shard;
  }
  static v1::PutTensorResponse Durable(uint64_t entries, uint64_t offset, uint64_t deduplicated = 0) {
    v1::PutTensorResponse answer;
    answer.set_durable_entries(entries);
    answer.set_durable_offset(offset);
    answer.set_deduplicated_bytes(deduplicated);
    return answer;
  }
  void Add(std::unique_ptr<UploadEntry> entry) { ASSERT_THAT(window_.Add(std::move(entry), saved_), Holds(true)); }
  // Sends what the window would send next; the number of its bytes.
  uint64_t SendNext() {
    const std::optional<PutWindow::Part> part = window_.Next();
    EXPECT_TRUE(part.has_value());
    if (!part.has_value()) return 0;
    window_.MarkSent(*part);
    return part->bytes;
  }

  PutCounters counters_;
  SavedShards saved_;
  PutWindow window_{{kChunk, 1000, 400, 4}, &counters_};
};

TEST_F(PutWindowTest, CutsAnEntryIntoChunksAndDeclaresItOnce) {
  Add(Pulled("a", 250));
  const std::optional<PutWindow::Part> first = window_.Next();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->bytes, 100u);
  EXPECT_TRUE(first->declare);
  EXPECT_FALSE(first->finish);
  window_.MarkSent(*first);
  EXPECT_EQ(SendNext(), 100u);
  const std::optional<PutWindow::Part> last = window_.Next();
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->bytes, 50u);
  EXPECT_FALSE(last->declare);
  EXPECT_TRUE(last->finish);
  window_.MarkSent(*last);
  EXPECT_FALSE(window_.Next().has_value());
  EXPECT_EQ(counters_.progress().sent_bytes, 250u);
}

TEST_F(PutWindowTest, AnEntryWithoutBytesIsOneMessage) {
  Add(Pulled("a", 0));
  const std::optional<PutWindow::Part> part = window_.Next();
  ASSERT_TRUE(part.has_value());
  EXPECT_TRUE(part->declare && part->finish);
  window_.MarkSent(*part);
  EXPECT_THAT(window_.Acknowledge(Durable(1, 0)), Holds(0u));
  EXPECT_TRUE(window_.Settled());
  EXPECT_EQ(counters_.progress().durable_entries, 1u);
}

TEST_F(PutWindowTest, PushedBytesWaitForAWholeChunkOrTheEnd) {
  Add(Pushed("a", 150));
  window_.Push(Buffer::FromString(std::string(99, 'x')));
  EXPECT_FALSE(window_.Next().has_value());
  window_.Push(Buffer::FromString(std::string(51, 'x')));
  EXPECT_EQ(SendNext(), 100u);
  EXPECT_FALSE(window_.Next().has_value());
  EXPECT_TRUE(window_.Settled()) << "it is not complete, so nothing has to be awaited";
  window_.CompleteLast();
  EXPECT_FALSE(window_.Settled());
  EXPECT_EQ(SendNext(), 50u);
}

TEST_F(PutWindowTest, AcknowledgementsMakeRoom) {
  for (const char* name : {"a", "b", "c"}) Add(Pulled(name, 300));
  while (window_.Next().has_value()) SendNext();
  EXPECT_TRUE(window_.HasRoom(100));
  EXPECT_FALSE(window_.HasRoom(101));
  EXPECT_THAT(window_.Acknowledge(Durable(1, 50, 20)), Holds(350u));
  EXPECT_TRUE(window_.HasRoom(450));
  EXPECT_FALSE(window_.HasRoom(451));
  EXPECT_THAT(window_.Acknowledge(Durable(1, 50, 20)), Holds(0u));
  EXPECT_THAT(window_.Acknowledge(Durable(3, 0, 30)), Holds(550u));
  EXPECT_TRUE(window_.Settled());
  EXPECT_EQ(counters_.progress().durable_entries, 3u);
  EXPECT_EQ(counters_.progress().durable_bytes, 900u);
  EXPECT_EQ(counters_.progress().deduplicated_bytes, 30u);
}

TEST_F(PutWindowTest, LimitsTheEntriesThatAreNotDurable) {
  for (const char* name : {"a", "b", "c", "d"}) Add(Pulled(name, 1));
  for (int i = 0; i < 3; ++i) SendNext();
  EXPECT_FALSE(window_.WantsFlush());
  SendNext();
  EXPECT_FALSE(window_.HasRoom(0));
  EXPECT_TRUE(window_.WantsFlush());
  window_.FlushAsked();
  EXPECT_FALSE(window_.WantsFlush()) << "once is enough";
  EXPECT_THAT(window_.Acknowledge(Durable(2, 0)), Holds(2u));
  EXPECT_TRUE(window_.HasRoom(0));
}

TEST_F(PutWindowTest, AsksForAFlushBeforeTooManyPushedBytesAreKept) {
  Add(Pushed("a", 1000));
  window_.Push(Buffer::FromString(std::string(300, 'x')));
  while (window_.Next().has_value()) SendNext();
  EXPECT_FALSE(window_.WantsFlush());
  window_.Push(Buffer::FromString(std::string(100, 'x')));
  EXPECT_TRUE(window_.RetainsTooMuch());
  EXPECT_FALSE(window_.WantsFlush()) << "what was not sent cannot become durable";
  SendNext();
  EXPECT_TRUE(window_.WantsFlush());
  EXPECT_THAT(window_.Acknowledge(Durable(0, 300)), Holds(300u));
  EXPECT_FALSE(window_.RetainsTooMuch());
}

TEST_F(PutWindowTest, BelievesNoAcknowledgementOfWhatWasNotSent) {
  Add(Pulled("a", 300));
  Add(Pulled("b", 300));
  for (int i = 0; i < 4; ++i) SendNext();
  const auto internal = StatusIs(absl::StatusCode::kInternal, HasSubstr("more than were sent"));
  EXPECT_THAT(window_.Acknowledge(Durable(2, 0)), internal);
  EXPECT_THAT(window_.Acknowledge(Durable(1, 101)), internal);
}

TEST_F(PutWindowTest, GoesOnBehindTheLastDurableByteOnAnotherCall) {
  Add(Pulled("a", 300));
  Add(Pulled("b", 300));
  Add(Pulled("c", 300));
  while (window_.Next().has_value()) SendNext();
  EXPECT_THAT(window_.Acknowledge(Durable(0, 100)), Holds(100u));
  // One acknowledgement was lost: more of `a` is durable than it said, and all of `b`.
  saved_.Add(Saved("a", 200, 300, false));
  saved_.Add(Saved("b", 300, 300, true));
  EXPECT_THAT(window_.Restart(saved_), Holds(400u));
  EXPECT_EQ(counters_.progress().durable_entries, 1u);

  const std::optional<PutWindow::Part> part = window_.Next();
  ASSERT_TRUE(part.has_value());
  EXPECT_EQ(part->entry->sent, 200u);
  EXPECT_TRUE(part->declare && part->finish);
  window_.MarkSent(*part);
  while (window_.Next().has_value()) SendNext();
  EXPECT_THAT(window_.Acknowledge(Durable(2, 0)), Holds(400u));
  EXPECT_TRUE(window_.Settled());
  EXPECT_EQ(counters_.progress().durable_bytes, 900u);
  EXPECT_EQ(counters_.progress().durable_entries, 3u);
}

TEST_F(PutWindowTest, ReportsBytesThatWereDurableAndAreGone) {
  Add(Pulled("a", 300));
  for (int i = 0; i < 3; ++i) SendNext();
  EXPECT_THAT(window_.Acknowledge(Durable(0, 200)), Holds(200u));
  saved_.Add(Saved("a", 100, 300, false));
  EXPECT_THAT(window_.Restart(saved_), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("\"a\": 200 bytes")));
}

TEST_F(PutWindowTest, LeavesOutWhatAnEarlierProcessSaved) {
  saved_.Add(Saved("whole", 300, 300, true));
  saved_.Add(Saved("part", 200, 300, false));
  saved_.Add(Saved("other", 200, 300, false));
  EXPECT_THAT(window_.Add(Pulled("whole", 300), saved_), Holds(false));
  Add(Pulled("part", 300));
  EXPECT_EQ(SendNext(), 100u);
  EXPECT_FALSE(window_.Next().has_value());
  EXPECT_THAT(window_.Add(Pulled("other", 301), saved_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("301 bytes")));
  EXPECT_EQ(counters_.progress().skipped_bytes, 500u);
  EXPECT_EQ(counters_.progress().durable_entries, 1u);
}

TEST_F(PutWindowTest, ForgetsAPushedEntryThatTheDaemonHas) {
  saved_.Add(Saved("a", 300, 300, true));
  Add(Pushed("a", 300));
  window_.CompleteLast();
  EXPECT_TRUE(window_.Settled());
  EXPECT_FALSE(window_.Next().has_value());
  EXPECT_EQ(counters_.progress().durable_entries, 1u);
}

}  // namespace
}  // namespace cairn::client
