#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cairn/connection.h"
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
using ::testing::HasSubstr;
using ::testing::SizeIs;

std::string Bytes(uint64_t size, int seed = 0) {
  std::string bytes;
  for (uint64_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i * 5 + i / 256 + seed));
  return bytes;
}

ServedEntry Tensor(const std::string& name, const std::string& bytes) {
  return {Entry::Tensor(KeyPath::Of({name}), Dtype::kUint8, {static_cast<int64_t>(bytes.size())}, bytes.size()), bytes};
}

std::vector<ServedEntry> Checkpoint() {
  return {Tensor("a", Bytes(300)),
          {Entry::OfValue(KeyPath::Of({"step"}), Value::Int(7)), ""},
          Tensor("empty", ""),
          {Entry::Asset(KeyPath::Of({"config.json"}), 70), Bytes(70, 3)},
          {Entry::Alias(KeyPath::Of({"tied"}), KeyPath::Of({"a"})), ""},
          Tensor("z", Bytes(129, 9))};
}

class GetStreamTest : public ::testing::Test {
 protected:
  GetStreamTest() {
    options_.clock = &clock_;
    daemon_.Serve(Checkpoint());
  }

  absl::StatusOr<std::unique_ptr<GetStream>> Open(FakeCairnd& daemon) {
    connection_ = *MakeConnection(daemon.target(), options_);
    GetSpec spec;
    spec.ref = "team/run";
    return connection_->OpenGet(spec);
  }

  // Reads everything and holds it against Checkpoint().
  static void ExpectAll(GetStream& stream) {
    EXPECT_EQ(stream.checkpoint().ShownRef(), "team/run@7");
    EXPECT_EQ(stream.entries(), 6u);
    EXPECT_EQ(stream.total_bytes(), 499u);
    for (const ServedEntry& expected : Checkpoint()) {
      CAIRN_ASSERT_OK_AND_ASSIGN(const std::optional<GetEntry> entry, stream.Next());
      ASSERT_TRUE(entry.has_value());
      EXPECT_EQ(entry->entry.path, expected.entry.path);
      EXPECT_EQ(entry->entry.kind, expected.entry.kind);
      EXPECT_EQ(entry->entry.value, expected.entry.value);
      EXPECT_EQ(entry->entry.target, expected.entry.target);
      EXPECT_EQ(entry->bytes, expected.bytes.size());
      std::string bytes;
      while (true) {
        CAIRN_ASSERT_OK_AND_ASSIGN(const GetChunk chunk, stream.ReadChunk());
        if (chunk.empty()) break;
        EXPECT_EQ(chunk.offset, bytes.size());
        for (const Buffer& piece : chunk.pieces) bytes.append(piece.data(), piece.size());
      }
      EXPECT_EQ(bytes, expected.bytes);
    }
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::optional<GetEntry> end, stream.Next());
    EXPECT_FALSE(end.has_value());
  }

  testing::FakeClock clock_;
  Options options_;
  FakeCairnd daemon_;
  std::shared_ptr<Connection> connection_;
};

TEST_F(GetStreamTest, DeliversEntriesOfEveryKindInOrder) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, Open(daemon_));
  ExpectAll(*stream);
}

TEST_F(GetStreamTest, FillsBuffersOfTheCaller) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, Open(daemon_));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::optional<GetEntry> entry, stream->Next());
  std::string bytes(299, ' ');
  EXPECT_THAT(stream->ReadInto(absl::MakeSpan(bytes)),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("300"), HasSubstr("299"))));
  bytes.resize(300);
  CAIRN_ASSERT_OK(stream->ReadInto(absl::MakeSpan(bytes)));
  EXPECT_EQ(bytes, Bytes(300));
  EXPECT_THAT(stream->ReadInto(absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(GetStreamTest, SkipsBytesThatNobodyReads) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, Open(daemon_));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::optional<GetEntry> entry, stream->Next());
  CAIRN_ASSERT_OK(stream->ReadChunk());
  for (int i = 1; i < 6; ++i) {
    CAIRN_ASSERT_OK_AND_ASSIGN(entry, stream->Next());
  }
  EXPECT_EQ(entry->entry.path.ToString(), "z");
  std::string bytes(129, ' ');
  CAIRN_ASSERT_OK(stream->ReadInto(absl::MakeSpan(bytes)));
  EXPECT_EQ(bytes, Bytes(129, 9));
}

TEST_F(GetStreamTest, GoesOnAtTheSameByteWhereverAStreamBreaks) {
  for (const absl::StatusCode code : {absl::StatusCode::kUnavailable, absl::StatusCode::kDeadlineExceeded}) {
    for (int at = 0; at < 13; ++at) {
      FakeCairnd daemon;
      daemon.Serve(Checkpoint());
      FakeCairnd::GetScript script;
      script.break_after = {at, 0, 2, 1};
      script.break_with = absl::Status(code, "broken");
      daemon.set_get_script(script);
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, Open(daemon));
      ExpectAll(*stream);
      const std::vector<v1::GetTensorRequest> requests = daemon.get_requests();
      ASSERT_GE(requests.size(), 2u);
      EXPECT_EQ(requests[0].ref(), "team/run");
      if (at == 0) continue;
      for (size_t i = 1; i < requests.size(); ++i) EXPECT_EQ(requests[i].ref(), "uid:uid-of-the-fake") << at;
      // Five chunks of `a`, of which at - 1 came.
      if (at <= 4) {
        EXPECT_EQ(requests[1].start_offset(), (at - 1) * 64u) << at;
      }
    }
  }
}

TEST_F(GetStreamTest, OutlivesADaemonThatStartsAgain) {
  testing::TempDir dir;
  FakeCairnd daemon(dir / "sock");
  daemon.Serve(Checkpoint());
  FakeCairnd::GetScript script;
  script.hang = true;
  daemon.set_get_script(script);
  options_.clock = &Clock::Real();
  options_.initial_backoff = absl::Milliseconds(5);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, Open(daemon));
  script.hang = false;
  daemon.set_get_script(script);
  daemon.Restart();
  ExpectAll(*stream);
}

TEST_F(GetStreamTest, WrongChecksumIsDataLossThatNamesTheByte) {
  FakeCairnd::GetScript script;
  script.corrupt_message = 3;
  daemon_.set_get_script(script);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, Open(daemon_));
  CAIRN_ASSERT_OK(stream->Next());
  CAIRN_ASSERT_OK(stream->ReadChunk());
  CAIRN_ASSERT_OK(stream->ReadChunk());
  const absl::Status status = stream->ReadChunk().status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("team/run"), HasSubstr("entry \"a\""),
                                                                  HasSubstr("offset 128"), HasSubstr("crc32c"))));
  EXPECT_EQ(stream->Next().status(), status) << "the stream remembers";
}

TEST_F(GetStreamTest, QuietEndIsNotTheEnd) {
  FakeCairnd::GetScript script;
  script.break_after = {3};
  script.end_quietly = true;
  daemon_.set_get_script(script);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, Open(daemon_));
  CAIRN_ASSERT_OK(stream->Next());
  std::string bytes(300, ' ');
  EXPECT_THAT(stream->ReadInto(absl::MakeSpan(bytes)),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("0 of 6"), HasSubstr("\"a\""))));
}

TEST_F(GetStreamTest, OtherErrorsEndTheStream) {
  FakeCairnd::GetScript script;
  script.break_after = {2};
  script.break_with = absl::DataLossError("object rotten");
  daemon_.set_get_script(script);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, Open(daemon_));
  CAIRN_ASSERT_OK(stream->Next());
  std::string bytes(300, ' ');
  EXPECT_THAT(stream->ReadInto(absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("team/run")));
  EXPECT_EQ(daemon_.calls("GetTensor"), 1);

  script.break_after = {0};
  script.break_with = absl::NotFoundError("no such checkpoint");
  daemon_.set_get_script(script);
  EXPECT_THAT(Open(daemon_), StatusIs(absl::StatusCode::kNotFound, HasSubstr("team/run")));
}

TEST_F(GetStreamTest, CancelWakesACallThatWaits) {
  FakeCairnd::GetScript script;
  script.hang = true;
  daemon_.set_get_script(script);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, Open(daemon_));
  std::thread canceller([&] { stream->Cancel(); });
  EXPECT_THAT(stream->Next(), StatusIs(absl::StatusCode::kCancelled));
  canceller.join();
  EXPECT_THAT(stream->ReadChunk(), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(GetStreamTest, TheInterruptionOfTheOptionsIsAskedForInTheCallingThread) {
  FakeCairnd::GetScript script;
  script.hang = true;
  daemon_.set_get_script(script);
  std::atomic<bool> raised = false;
  const std::thread::id caller = std::this_thread::get_id();
  options_.interrupted = [&raised, caller] {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    return raised.load();
  };
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, Open(daemon_));
  std::thread interrupter([&] { raised = true; });
  EXPECT_THAT(stream->Next(), StatusIs(absl::StatusCode::kCancelled));
  interrupter.join();
}

TEST_F(GetStreamTest, AWindowSmallerThanAMessageOnlySlowsItDown) {
  for (const uint64_t window : {uint64_t{0}, uint64_t{1}, uint64_t{100}, uint64_t{300}}) {
    options_.window_bytes = window;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, Open(daemon_));
    ExpectAll(*stream);
  }
}

TEST_F(GetStreamTest, FillsLargeBuffersAndChecksThem) {
  const std::string bytes = Bytes((5 << 20) + 3);
  for (const int corrupt : {-1, 5}) {
    FakeCairnd daemon;
    daemon.Serve({Tensor("large", bytes)});
    FakeCairnd::GetScript script;
    script.chunk_bytes = 1 << 20;
    script.corrupt_message = corrupt;
    daemon.set_get_script(script);
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, Open(daemon));
    CAIRN_ASSERT_OK(stream->Next());
    std::string read(bytes.size(), ' ');
    const absl::Status status = stream->ReadInto(absl::MakeSpan(read));
    if (corrupt < 0) {
      CAIRN_ASSERT_OK(status);
      EXPECT_EQ(read, bytes);
    } else {
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("\"large\"")));
    }
  }
}

TEST_F(GetStreamTest, SeveralStreamsRunAtOnce) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto first, Open(daemon_));
  GetSpec spec;
  spec.ref = "team/run";
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto second, connection_->OpenGet(spec));
  std::thread other([&] { ExpectAll(*second); });
  ExpectAll(*first);
  other.join();
}

TEST_F(GetStreamTest, SendsWhatIsAskedFor) {
  connection_ = *MakeConnection(daemon_.target(), options_);
  GetSpec spec;
  spec.ref = "team/run@best";
  spec.select = {"params/", "!params/head"};
  spec.paths = {KeyPath({KeyPath::Segment("a/b"), KeyPath::Segment(int64_t{3})})};
  spec.boxes = {{KeyPath::Of({"w"}), Box{{1}, {2}}}};
  spec.float_dtype = Dtype::kBfloat16;
  spec.chunk_bytes = 4096;
  CAIRN_ASSERT_OK(connection_->OpenGet(spec));
  const std::vector<v1::GetTensorRequest> requests = daemon_.get_requests();
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_EQ(requests[0].ref(), "team/run@best");
  EXPECT_THAT(requests[0].select(), ::testing::ElementsAre("params/", "!params/head"));
  EXPECT_THAT(requests[0].paths(), ::testing::ElementsAre("a\\/b/[3]"));
  ASSERT_EQ(requests[0].boxes_size(), 1);
  EXPECT_EQ(requests[0].boxes(0).box().offset(0), 1);
  EXPECT_EQ(requests[0].float_dtype(), v1::DTYPE_BFLOAT16);
  EXPECT_EQ(requests[0].chunk_bytes(), 4096u);
}

// A daemon from before there were deltas: it does not know have_ref.
TEST_F(GetStreamTest, AnOlderDaemonSendsAllBytesOverWhateverTheMemoryHolds) {
  connection_ = *MakeConnection(daemon_.target(), options_);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, connection_->OpenGet({.ref = "team/run", .have_ref = "team/run@6"}));
  for (const ServedEntry& expected : Checkpoint()) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::optional<GetEntry> entry, stream->Next());
    ASSERT_TRUE(entry.has_value());
    std::string bytes(entry->bytes, 'o');
    CAIRN_ASSERT_OK(stream->ReadInto(absl::MakeSpan(bytes)));
    EXPECT_EQ(bytes, expected.bytes);
  }
}

// Who loads over several streams knows what it has by its uid, and it may be deleted between two of them.
TEST_F(GetStreamTest, AnOldCheckpointThatIsGoneWhenAStreamBeginsIsDoneWithout) {
  const auto gone = [&] {
    FakeCairnd::GetScript script;
    script.break_after = {0};
    script.break_with = absl::NotFoundError("have_ref: no checkpoint has that uid");
    daemon_.set_get_script(script);
    connection_ = *MakeConnection(daemon_.target(), options_);
  };
  gone();
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto stream, connection_->OpenGet({.ref = "team/run", .have_ref = "uid:0123"}));
  ExpectAll(*stream);
  ASSERT_THAT(daemon_.get_requests(), SizeIs(2));
  EXPECT_EQ(daemon_.get_requests()[1].have_ref(), "");
  gone();
  EXPECT_THAT(connection_->OpenGet({.ref = "team/run", .have_ref = "team/run@6"}), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace cairn::client
