#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cairn/connection.h"
#include "common/base/error_info.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/client/cpp/fake_cairnd.h"

namespace cairn::client {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr uint64_t kExtent = 64;

std::string Bytes(uint64_t size, int seed = 0) {
  std::string bytes;
  for (uint64_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 7 + i / 256 + seed));
  return bytes;
}

Entry Tensor(const std::string& name, uint64_t bytes) {
  return Entry::Tensor(KeyPath::Of({name}), Dtype::kUint8, {static_cast<int64_t>(bytes)}, bytes);
}

// A source that counts what is read of it.
class CountedBytes final : public EntryBytes {
 public:
  explicit CountedBytes(std::string bytes) : bytes_(std::move(bytes)) {}
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) override {
    if (!fail_with.ok()) return fail_with;
    bytes_.copy(dst.data(), dst.size(), offset);
    read += dst.size();
    return absl::OkStatus();
  }
  uint64_t read = 0;
  absl::Status fail_with;

 private:
  std::string bytes_;
};

class PutStreamTest : public ::testing::Test {
 protected:
  PutStreamTest() {
    options_.clock = &clock_;
    options_.chunk_bytes = 2 * kExtent;
  }

  std::unique_ptr<PutStream> Open(uint32_t max_small_entries = 0) {
    connection_ = *MakeConnection(daemon_.target(), options_);
    auto stream = connection_->OpenPut({"session", 0, 4 * kExtent, kExtent, "team/run@7", max_small_entries});
    EXPECT_THAT(stream, testing::IsOk());
    return *std::move(stream);
  }

  std::string Stored(const std::string& path) {
    for (const auto& [key, shard] : daemon_.shards()) {
      if (key == path || key.rfind(path + " ", 0) == 0) {
        EXPECT_TRUE(shard.finished) << key;
        EXPECT_EQ(shard.durable, shard.total) << key;
        return shard.bytes;
      }
    }
    return "there is none";
  }

  testing::FakeClock clock_;
  Options options_;
  FakeCairnd daemon_;
  std::shared_ptr<Connection> connection_;
};

TEST_F(PutStreamTest, ManySmallEntriesShareMessages) {
  auto stream = Open(/*max_small_entries=*/100);
  for (int i = 0; i < 1000; ++i) {
    const std::string name = absl::StrCat("t", i);
    switch (i % 4) {
      case 0:
        CAIRN_ASSERT_OK(stream->Put(Tensor(name, 5), std::nullopt, EntryBytes::Of(Buffer::FromString(Bytes(5, i)))));
        break;
      case 1:
        CAIRN_ASSERT_OK(stream->Put(Entry::OfValue(KeyPath::Of({name}), Value::Int(i)), std::nullopt, nullptr));
        break;
      case 2:
        CAIRN_ASSERT_OK(stream->Start(Tensor(name, 4), Box{{2}, {2}}));
        CAIRN_ASSERT_OK(stream->Append(Buffer::FromString(Bytes(2, i))));
        CAIRN_ASSERT_OK(stream->FinishEntry());
        break;
      default:
        CAIRN_ASSERT_OK(stream->Put(Entry::Asset(KeyPath::Of({name}), 0), std::nullopt, nullptr));
    }
  }
  CAIRN_ASSERT_OK(stream->Finish());

  size_t small = 0, most = 0;
  for (const v1::PutTensorRequest& message : daemon_.put_messages()) {
    small += message.small_size();
    most = std::max<size_t>(most, message.small_size());
    EXPECT_LE(message.data().size(), 2 * kExtent);
  }
  EXPECT_GT(small, 900u);  // An entry alone may go the usual way.
  EXPECT_GT(most, 4u);
  EXPECT_LE(most, 100u);
  EXPECT_EQ(stream->progress().durable_entries, 1000u);
  EXPECT_EQ(Stored("t0"), Bytes(5, 0));
  EXPECT_EQ(Stored("t996"), Bytes(5, 996));
  EXPECT_EQ(Stored("t998"), Bytes(2, 998));
  EXPECT_THAT(daemon_.shards(), SizeIs(1000));
}

TEST_F(PutStreamTest, SmallEntriesKeepTheirPlaceAmongLargeOnes) {
  auto stream = Open(/*max_small_entries=*/100);
  for (int i = 0; i < 40; ++i) {
    const uint64_t size = i % 5 == 0 ? 10 * kExtent + 3 : 7;
    CAIRN_ASSERT_OK(stream->Put(Tensor(absl::StrCat("t", i), size), std::nullopt,
                                EntryBytes::Of(Buffer::FromString(Bytes(size, i)))));
  }
  CAIRN_ASSERT_OK(stream->Finish());
  for (int i = 0; i < 40; ++i) EXPECT_EQ(Stored(absl::StrCat("t", i)), Bytes(i % 5 == 0 ? 10 * kExtent + 3 : 7, i)) << i;
  EXPECT_EQ(daemon_.durable_bytes_sent_again(), 0u);
}

TEST_F(PutStreamTest, SmallEntriesOfABrokenStreamAreSentAgain) {
  FakeCairnd::PutScript script;
  script.break_after = {3, 4, 2};
  script.acknowledge_every = 2;
  daemon_.set_put_script(script);
  auto stream = Open(/*max_small_entries=*/8);
  for (int i = 0; i < 200; ++i) {
    CAIRN_ASSERT_OK(
        stream->Put(Tensor(absl::StrCat("t", i), 9), std::nullopt, EntryBytes::Of(Buffer::FromString(Bytes(9, i)))));
  }
  CAIRN_ASSERT_OK(stream->Finish());
  EXPECT_EQ(stream->progress().reconnects, 3u);
  EXPECT_EQ(stream->progress().durable_entries, 200u);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(Stored(absl::StrCat("t", i)), Bytes(9, i)) << i;
}

TEST_F(PutStreamTest, AFlushSendsSmallEntriesThatWaitForMore) {
  auto stream = Open(/*max_small_entries=*/100);
  for (int i = 0; i < 10; ++i) {
    CAIRN_ASSERT_OK(
        stream->Put(Tensor(absl::StrCat("t", i), 9), std::nullopt, EntryBytes::Of(Buffer::FromString(Bytes(9, i)))));
  }
  CAIRN_ASSERT_OK(stream->Flush());
  EXPECT_EQ(stream->progress().durable_entries, 10u);
}

TEST_F(PutStreamTest, SendsASmallEntryInOneMessage) {
  auto stream = Open();
  CAIRN_ASSERT_OK(stream->Put(Tensor("a", 5), std::nullopt, EntryBytes::Of(Buffer::FromString("01234"))));
  CAIRN_ASSERT_OK(stream->Put(Entry::OfValue(KeyPath::Of({"step"}), Value::Int(3)), std::nullopt, nullptr));
  CAIRN_ASSERT_OK(stream->Start(Tensor("b", 3), std::nullopt));
  CAIRN_ASSERT_OK(stream->Append(Buffer::FromString("x")));
  CAIRN_ASSERT_OK(stream->Append(Buffer::FromString("yz")));
  CAIRN_ASSERT_OK(stream->FinishEntry());
  CAIRN_ASSERT_OK(stream->Put(Entry::Asset(KeyPath::Of({"empty.txt"}), 0), std::nullopt, nullptr));
  CAIRN_ASSERT_OK(stream->Finish());

  std::vector<v1::PutTensorRequest> messages;
  for (const v1::PutTensorRequest& message : daemon_.put_messages()) {
    if (message.has_declare() || message.has_chunk()) messages.push_back(message);
  }
  ASSERT_THAT(messages, SizeIs(4));
  for (const v1::PutTensorRequest& message : messages) {
    EXPECT_TRUE(message.has_declare());
    EXPECT_TRUE(message.finish());
  }
  EXPECT_EQ(messages[0].data(), "01234");
  EXPECT_FALSE(messages[1].has_chunk());
  EXPECT_EQ(messages[2].data(), "xyz");
  EXPECT_FALSE(messages[3].has_chunk());
  EXPECT_EQ(stream->progress().durable_entries, 4u);
  EXPECT_EQ(stream->progress().durable_bytes, 8u);
  EXPECT_EQ(stream->progress().reconnects, 0u);
}

TEST_F(PutStreamTest, CutsLargeEntriesIntoChunksThatEndWithExtents) {
  auto stream = Open();
  const std::string bytes = Bytes(10 * kExtent + 5);
  CAIRN_ASSERT_OK(stream->Put(Tensor("w", bytes.size()), std::nullopt, EntryBytes::Of(Buffer::FromString(bytes))));
  CAIRN_ASSERT_OK(stream->Finish());
  EXPECT_EQ(Stored("w"), bytes);
  for (const v1::PutTensorRequest& message : daemon_.put_messages()) {
    if (!message.has_chunk()) continue;
    EXPECT_EQ(message.chunk().offset() % (2 * kExtent), 0u);
    EXPECT_TRUE(message.finish() || message.data().size() == 2 * kExtent);
  }
}

TEST_F(PutStreamTest, SendsTheBoxOfAShard) {
  auto stream = Open();
  const Entry entry = Entry::Tensor(KeyPath::Of({"w"}), Dtype::kFloat32, {4, 2}, 32);
  const Box box{{2, 0}, {2, 2}};
  CAIRN_ASSERT_OK(stream->Put(entry, box, EntryBytes::Of(Buffer::FromString(Bytes(16)))));
  CAIRN_ASSERT_OK(stream->Finish());
  const auto shards = daemon_.shards();
  ASSERT_THAT(shards, SizeIs(1));
  EXPECT_EQ(shards.begin()->second.bytes, Bytes(16));
  EXPECT_THAT(shards.begin()->second.box.offset(), ElementsAre(2, 0));
}

// Whatever message a stream breaks at: everything arrives, and nothing acknowledged is sent again.
TEST_F(PutStreamTest, GoesOnBehindTheLastDurableByteWhereverAStreamBreaks) {
  const std::string first = Bytes(7 * kExtent + 9), second = Bytes(3, 1), third = Bytes(5 * kExtent, 2);
  for (const bool keep : {false, true}) {
    for (int at = 0; at < 10; ++at) {
      FakeCairnd daemon;
      FakeCairnd::PutScript script;
      script.break_after = {at, 3, 1};
      script.keep_unacknowledged = keep;
      daemon.set_put_script(script);
      connection_ = *MakeConnection(daemon.target(), options_);
      CAIRN_ASSERT_OK_AND_ASSIGN(auto stream, connection_->OpenPut({"session", 0, 4 * kExtent, kExtent, "run@7"}));
      CAIRN_ASSERT_OK(stream->Put(Tensor("first", first.size()), std::nullopt, std::make_shared<CountedBytes>(first)));
      CAIRN_ASSERT_OK(stream->Put(Tensor("second", 3), std::nullopt, EntryBytes::Of(Buffer::FromString(second))));
      CAIRN_ASSERT_OK(stream->Put(Entry::OfValue(KeyPath::Of({"v"}), Value::Int(1)), std::nullopt, nullptr));
      CAIRN_ASSERT_OK(stream->Start(Tensor("third", third.size()), std::nullopt));
      for (size_t i = 0; i < third.size(); i += 50) {
        CAIRN_ASSERT_OK(stream->Append(Buffer::FromString(third.substr(i, 50))));
      }
      CAIRN_ASSERT_OK(stream->FinishEntry());
      CAIRN_ASSERT_OK(stream->Finish());

      EXPECT_EQ(daemon.durable_bytes_sent_again(), 0u) << at;
      const auto shards = daemon.shards();
      for (const auto& [name, bytes] : {std::pair{"first", first}, {"second", second}, {"third", third}}) {
        bool found = false;
        for (const auto& [key, shard] : shards) {
          if (key.rfind(name, 0) != 0) continue;
          found = true;
          EXPECT_EQ(shard.bytes, bytes) << at << " " << key;
          EXPECT_TRUE(shard.finished) << at << " " << key;
        }
        EXPECT_TRUE(found) << name;
      }
      const PutProgress progress = stream->progress();
      EXPECT_EQ(progress.durable_bytes, first.size() + second.size() + third.size()) << at;
      EXPECT_EQ(progress.durable_entries, 4u) << at;
      EXPECT_EQ(progress.skipped_bytes, 0u);
      EXPECT_GE(progress.reconnects, 1u) << at;
    }
  }
}

TEST_F(PutStreamTest, OutlivesADaemonThatStartsAgain) {
  testing::TempDir dir;
  FakeCairnd daemon(dir / "sock");
  options_.clock = &Clock::Real();
  options_.initial_backoff = absl::Milliseconds(5);
  connection_ = *MakeConnection(daemon.target(), options_);
  CAIRN_ASSERT_OK_AND_ASSIGN(auto stream, connection_->OpenPut({"session", 0, 4 * kExtent, kExtent, "run@7"}));
  const std::string bytes = Bytes(8 * kExtent);
  CAIRN_ASSERT_OK(stream->Start(Tensor("w", bytes.size()), std::nullopt));
  CAIRN_ASSERT_OK(stream->Append(Buffer::FromString(bytes.substr(0, 4 * kExtent))));
  CAIRN_ASSERT_OK(stream->Flush());
  daemon.Restart();
  CAIRN_ASSERT_OK(stream->Append(Buffer::FromString(bytes.substr(4 * kExtent))));
  CAIRN_ASSERT_OK(stream->FinishEntry());
  CAIRN_ASSERT_OK(stream->Finish());
  EXPECT_EQ(daemon.durable_bytes_sent_again(), 0u);
  EXPECT_EQ(daemon.shards().begin()->second.bytes, bytes);
  EXPECT_GE(stream->progress().reconnects, 1u);
}

TEST_F(PutStreamTest, SkipsWhatAnEarlierProcessSaved) {
  const std::string a = Bytes(5 * kExtent, 1), b = Bytes(4 * kExtent, 2);
  {
    auto stream = Open();
    CAIRN_ASSERT_OK(stream->Put(Tensor("a", a.size()), std::nullopt, EntryBytes::Of(Buffer::FromString(a))));
    CAIRN_ASSERT_OK(stream->Start(Tensor("b", b.size()), std::nullopt));
    CAIRN_ASSERT_OK(stream->Append(Buffer::FromString(b.substr(0, 2 * kExtent))));
    CAIRN_ASSERT_OK(stream->Flush());
    // The fake has acknowledged the two extents of b with the same answer or the next one.
    while (stream->progress().durable_bytes < a.size() + 2 * kExtent) CAIRN_ASSERT_OK(stream->Flush());
  }
  auto stream = Open();
  auto source = std::make_shared<CountedBytes>(a);
  CAIRN_ASSERT_OK(stream->Put(Tensor("a", a.size()), std::nullopt, source));
  CAIRN_ASSERT_OK(stream->Start(Tensor("b", b.size()), std::nullopt));
  for (size_t i = 0; i < b.size(); i += 40) CAIRN_ASSERT_OK(stream->Append(Buffer::FromString(b.substr(i, 40))));
  CAIRN_ASSERT_OK(stream->FinishEntry());
  CAIRN_ASSERT_OK(stream->Finish());
  EXPECT_EQ(source->read, 0u);
  EXPECT_EQ(Stored("a"), a);
  EXPECT_EQ(Stored("b"), b);
  EXPECT_EQ(daemon_.durable_bytes_sent_again(), 0u);
  EXPECT_EQ(stream->progress().skipped_bytes, a.size() + 2 * kExtent);
  EXPECT_EQ(stream->progress().durable_bytes, a.size() + b.size());
  EXPECT_EQ(stream->progress().durable_entries, 2u);

  // A third process finds everything finished.
  auto again = Open();
  CAIRN_ASSERT_OK(again->Put(Tensor("a", a.size()), std::nullopt, source));
  CAIRN_ASSERT_OK(again->Start(Tensor("b", b.size()), std::nullopt));
  CAIRN_ASSERT_OK(again->Append(Buffer::FromString(b)));
  CAIRN_ASSERT_OK(again->FinishEntry());
  CAIRN_ASSERT_OK(again->Finish());
  EXPECT_EQ(again->progress().sent_bytes, 0u);
  EXPECT_EQ(again->progress().durable_entries, 2u);
}

TEST_F(PutStreamTest, RefusesToGoOnWithAnEntryOfAnotherSize) {
  {
    auto stream = Open();
    CAIRN_ASSERT_OK(stream->Put(Entry::Asset(KeyPath::Of({"f"}), 3), std::nullopt,
                                EntryBytes::Of(Buffer::FromString("abc"))));
    CAIRN_ASSERT_OK(stream->Finish());
  }
  auto stream = Open();
  EXPECT_THAT(stream->Put(Entry::Asset(KeyPath::Of({"f"}), 4), std::nullopt,
                          EntryBytes::Of(Buffer::FromString("abcd"))),
              StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("\"f\""), HasSubstr("3"))));
}

TEST_F(PutStreamTest, KeepsNoMorePushedBytesThanItMay) {
  FakeCairnd::PutScript script;
  script.acknowledge_every = 0;  // Nothing becomes durable unless it is asked for.
  daemon_.set_put_script(script);
  options_.max_retained_bytes = 8 * kExtent;
  auto stream = Open();
  std::vector<std::weak_ptr<const std::string>> owners;
  constexpr int kPieces = 64;
  CAIRN_ASSERT_OK(stream->Start(Entry::Asset(KeyPath::Of({"f"}), kPieces * (16 << 10)), std::nullopt));
  size_t most = 0;
  for (int i = 0; i < kPieces; ++i) {
    auto owner = std::make_shared<const std::string>(Bytes(16 << 10, i));
    owners.push_back(owner);
    const absl::string_view bytes(*owner);
    CAIRN_ASSERT_OK(stream->Append(Buffer(bytes, std::move(owner))));
    size_t alive = 0;
    for (const auto& weak : owners) alive += !weak.expired();
    most = std::max(most, alive);
  }
  CAIRN_ASSERT_OK(stream->FinishEntry());
  CAIRN_ASSERT_OK(stream->Finish());
  EXPECT_LE(most, 2u) << "one piece is more than the limit already";
  EXPECT_EQ(daemon_.shards().begin()->second.bytes.size(), kPieces * size_t{16 << 10});
}

TEST_F(PutStreamTest, LimitsWhatIsSentButNotDurable) {
  FakeCairnd::PutScript script;
  script.acknowledge_every = 0;
  daemon_.set_put_script(script);
  options_.max_unacknowledged_bytes = 16 * kExtent;
  auto stream = Open();
  const std::string bytes = Bytes(200 * kExtent);
  CAIRN_ASSERT_OK(stream->Put(Tensor("w", bytes.size()), std::nullopt, std::make_shared<CountedBytes>(bytes)));
  CAIRN_ASSERT_OK(stream->Finish());
  EXPECT_EQ(Stored("w"), bytes);
  uint64_t since_flush = 0, most = 0;
  for (const v1::PutTensorRequest& message : daemon_.put_messages()) {
    since_flush += message.data().size();
    most = std::max(most, since_flush);
    if (message.flush()) since_flush = 0;
  }
  EXPECT_LE(most, 16 * kExtent);
}

TEST_F(PutStreamTest, AsksAgainWhenTheOffsetHasMovedMeanwhile) {
  FakeCairnd::PutScript script;
  script.break_after = {4};
  script.refuse_offsets = 2;
  daemon_.set_put_script(script);
  auto stream = Open();
  const std::string bytes = Bytes(10 * kExtent);
  CAIRN_ASSERT_OK(stream->Put(Tensor("w", bytes.size()), std::nullopt, std::make_shared<CountedBytes>(bytes)));
  CAIRN_ASSERT_OK(stream->Finish());
  EXPECT_EQ(Stored("w"), bytes);
  EXPECT_EQ(daemon_.durable_bytes_sent_again(), 0u);
  EXPECT_GE(stream->progress().reconnects, 3u);

  script.break_after = {4};
  script.refuse_offsets = 1000;
  daemon_.set_put_script(script);
  auto other = Open();
  EXPECT_THAT(other->Put(Tensor("x", bytes.size()), std::nullopt, std::make_shared<CountedBytes>(bytes)).ok()
                  ? other->Finish()
                  : other->Finish(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another offset")));
}

TEST_F(PutStreamTest, GivesUpAtOnceForAnyOtherError) {
  for (int code = 1; code <= 16; ++code) {
    const auto status_code = static_cast<absl::StatusCode>(code);
    // A stream of ours has no deadline, and nobody here cancels: both mean that the daemon let go of it.
    if (status_code == absl::StatusCode::kUnavailable || status_code == absl::StatusCode::kDeadlineExceeded ||
        status_code == absl::StatusCode::kCancelled) {
      continue;
    }
    FakeCairnd daemon;
    FakeCairnd::PutScript script;
    script.break_after = {2, 2};
    script.break_with = WithErrorInfo(absl::Status(status_code, "no"), {"REASON", {{"path", "w"}}});
    daemon.set_put_script(script);
    connection_ = *MakeConnection(daemon.target(), options_);
    CAIRN_ASSERT_OK_AND_ASSIGN(auto stream, connection_->OpenPut({"session", 0, 4 * kExtent, kExtent, "team/run@7"}));
    absl::Status status = stream->Put(Tensor("w", 8 * kExtent), std::nullopt,
                                      EntryBytes::Of(Buffer::FromString(Bytes(8 * kExtent))));
    if (status.ok()) status = stream->Finish();
    EXPECT_EQ(status.code(), status_code);
    EXPECT_THAT(std::string(status.message()), HasSubstr("team/run@7"));
    EXPECT_EQ(GetErrorInfo(status).reason, "REASON");
    EXPECT_EQ(stream->Flush(), status) << "the stream remembers";
    EXPECT_EQ(daemon.calls("PutTensor"), 1);
  }
}

TEST_F(PutStreamTest, ResumesAStreamThatWasIdleForTooLong) {
  FakeCairnd::PutScript script;
  script.break_after = {2};
  script.break_with = absl::DeadlineExceededError("the client sent nothing for a minute");
  daemon_.set_put_script(script);
  auto stream = Open();
  const std::string bytes = Bytes(8 * kExtent);
  CAIRN_ASSERT_OK(stream->Put(Tensor("w", bytes.size()), std::nullopt, EntryBytes::Of(Buffer::FromString(bytes))));
  CAIRN_ASSERT_OK(stream->Finish());
  EXPECT_EQ(Stored("w"), bytes);
}

TEST_F(PutStreamTest, ReportsAStreamThatEndsWithoutAnError) {
  FakeCairnd::PutScript script;
  script.break_after = {1};
  script.break_with = absl::OkStatus();
  daemon_.set_put_script(script);
  auto stream = Open();
  absl::Status status = stream->Put(Tensor("w", 4), std::nullopt, EntryBytes::Of(Buffer::FromString("abcd")));
  if (status.ok()) status = stream->Finish();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal, HasSubstr("before it was finished")));
}

TEST_F(PutStreamTest, BelievesNoAcknowledgementOfWhatWasNotSent) {
  for (const auto& [entries, offset] : {std::pair{5, 0}, {0, 1000}}) {
    FakeCairnd daemon;
    FakeCairnd::PutScript script;
    script.answer_with.emplace();
    script.answer_with->set_durable_entries(entries);
    script.answer_with->set_durable_offset(offset);
    daemon.set_put_script(script);
    connection_ = *MakeConnection(daemon.target(), options_);
    CAIRN_ASSERT_OK_AND_ASSIGN(auto stream, connection_->OpenPut({"session", 0, 4 * kExtent, kExtent, "run@7"}));
    absl::Status status = stream->Put(Tensor("w", 4), std::nullopt, EntryBytes::Of(Buffer::FromString("abcd")));
    if (status.ok()) status = stream->Finish();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal, HasSubstr("more than were sent")));
  }
}

TEST_F(PutStreamTest, CancelWakesACallThatWaits) {
  FakeCairnd::PutScript script;
  script.never_answer = true;
  daemon_.set_put_script(script);
  auto stream = Open();
  CAIRN_ASSERT_OK(stream->Put(Tensor("w", 4), std::nullopt, EntryBytes::Of(Buffer::FromString("abcd"))));
  std::thread canceller([&] { stream->Cancel(); });
  EXPECT_THAT(stream->Flush(), StatusIs(absl::StatusCode::kCancelled));
  canceller.join();
  EXPECT_THAT(stream->Finish(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(stream->Start(Tensor("x", 4), std::nullopt), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(PutStreamTest, TheFlagOfTheOptionsCancelsToo) {
  FakeCairnd::PutScript script;
  script.never_answer = true;
  daemon_.set_put_script(script);
  options_.cancellation.emplace();
  auto stream = Open();
  CAIRN_ASSERT_OK(stream->Put(Tensor("w", 4), std::nullopt, EntryBytes::Of(Buffer::FromString("abcd"))));
  std::thread canceller([&] { options_.cancellation->Cancel(); });
  EXPECT_THAT(stream->Flush(), StatusIs(absl::StatusCode::kCancelled));
  canceller.join();
}

TEST_F(PutStreamTest, TheInterruptionOfTheOptionsIsAskedForInTheCallingThread) {
  FakeCairnd::PutScript script;
  script.never_answer = true;
  daemon_.set_put_script(script);
  std::atomic<bool> raised = false;
  const std::thread::id caller = std::this_thread::get_id();
  options_.interrupted = [&raised, caller] {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    return raised.load();
  };
  auto stream = Open();
  CAIRN_ASSERT_OK(stream->Put(Tensor("w", 4), std::nullopt, EntryBytes::Of(Buffer::FromString("abcd"))));
  std::thread interrupter([&] { raised = true; });
  EXPECT_THAT(stream->Flush(), StatusIs(absl::StatusCode::kCancelled));
  interrupter.join();
}

TEST_F(PutStreamTest, AWindowSmallerThanAMessageOnlySlowsItDown) {
  const std::string bytes = Bytes(10 * kExtent + 5);
  for (const uint64_t window : {uint64_t{0}, uint64_t{1}, 3 * kExtent}) {
    options_.window_bytes = window;
    FakeCairnd daemon;
    connection_ = *MakeConnection(daemon.target(), options_);
    CAIRN_ASSERT_OK_AND_ASSIGN(auto stream, connection_->OpenPut({"session", 0, 4 * kExtent, kExtent, "run@7"}));
    CAIRN_ASSERT_OK(stream->Put(Tensor("w", bytes.size()), std::nullopt, std::make_shared<CountedBytes>(bytes)));
    CAIRN_ASSERT_OK(stream->Finish());
    EXPECT_EQ(daemon.shards().begin()->second.bytes, bytes);
  }
}

TEST_F(PutStreamTest, ErrorOfASourceEndsTheStreamWithTheNameOfTheEntry) {
  auto stream = Open();
  auto source = std::make_shared<CountedBytes>(Bytes(4));
  source->fail_with = absl::DataLossError("the file is shorter");
  EXPECT_THAT(stream->Put(Tensor("w", 4), std::nullopt, source),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("entry \"w\""), HasSubstr("team/run@7"))));
}

TEST_F(PutStreamTest, RefusesWhatMakesNoSenseAndGoesOn) {
  auto stream = Open();
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(stream->Put(Tensor("w", 4), std::nullopt, nullptr), StatusIs(invalid, HasSubstr("no source")));
  EXPECT_THAT(stream->Put(Tensor("w", 4), Box{{3}, {2}}, nullptr), StatusIs(invalid, HasSubstr("\"w\"")));
  EXPECT_THAT(stream->Put(Entry::Asset(KeyPath::Of({"f"}), 0), Box{{0}, {0}}, nullptr),
              StatusIs(invalid, HasSubstr("only a tensor has a box")));
  EXPECT_THAT(stream->Start(Tensor("\xff", 4), std::nullopt), StatusIs(invalid, HasSubstr("not UTF-8")));
  EXPECT_THAT(stream->Start(Entry::Tensor(KeyPath(), Dtype::kInt8, {}, 1), std::nullopt), StatusIs(invalid));
  EXPECT_THAT(stream->Append(Buffer::FromString("x")), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(stream->FinishEntry(), StatusIs(absl::StatusCode::kFailedPrecondition));

  CAIRN_ASSERT_OK(stream->Start(Tensor("w", 4), std::nullopt));
  EXPECT_THAT(stream->Start(Tensor("x", 4), std::nullopt),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("\"w\"")));
  CAIRN_ASSERT_OK(stream->Append(Buffer::FromString("abc")));
  EXPECT_THAT(stream->Append(Buffer::FromString("de")), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("up to 5")));
  EXPECT_THAT(stream->FinishEntry(), StatusIs(invalid, HasSubstr("3 of 4")));
  EXPECT_THAT(stream->Finish(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not finished")));
  CAIRN_ASSERT_OK(stream->Append(Buffer::FromString("d")));
  CAIRN_ASSERT_OK(stream->FinishEntry());
  CAIRN_ASSERT_OK(stream->Finish());
  EXPECT_EQ(Stored("w"), "abcd");
  EXPECT_THAT(stream->Flush(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("finished")));
}

TEST_F(PutStreamTest, ManySmallEntriesArriveInOrder) {
  FakeCairnd::PutScript script;
  script.acknowledge_every = 0;
  daemon_.set_put_script(script);
  auto stream = Open();
  constexpr int kEntries = 20'000;  // More than may be unacknowledged.
  for (int i = 0; i < kEntries; ++i) {
    CAIRN_ASSERT_OK(stream->Put(Entry::OfValue(KeyPath({KeyPath::Segment(int64_t{i})}), Value::Int(i)), std::nullopt,
                                nullptr));
  }
  CAIRN_ASSERT_OK(stream->Finish());
  EXPECT_EQ(stream->progress().durable_entries, static_cast<uint64_t>(kEntries));
  EXPECT_THAT(daemon_.shards(), SizeIs(kEntries));
}

TEST_F(PutStreamTest, ADaemonThatDoesNotTakeDeltasGetsBytes) {
  auto stream = Open();
  const std::string bytes = Bytes(1000);
  CAIRN_ASSERT_OK(stream->Put(Tensor("a", 1000), std::nullopt,
                              EntryBytes::WithBase(EntryBytes::Of(Buffer::FromString(bytes)), EntryBytes::Of(Buffer::FromString(bytes)))));
  CAIRN_ASSERT_OK(stream->Finish());
  EXPECT_EQ(Stored("a"), bytes);
  for (const v1::PutTensorRequest& message : daemon_.put_messages()) EXPECT_EQ(message.chunk().raw_bytes(), 0u);
}

}  // namespace
}  // namespace cairn::client
