#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cairn/mock_connection.h"
#include "client/transfer/remote_reader.h"
#include "client/transfer/remote_writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::transfer {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::NiceMock;

constexpr size_t kChunk = 3;  // Small, so that chunks and reads never end together.

client::CheckpointInfo Info() {
  client::CheckpointInfo info;
  info.uid = "u1";
  info.name = "run";
  info.step = 7;
  return info;
}

std::string Shown(const KeyPath& path) { return path.ToString(); }

// What a daemon would send for some paths.
class FakeGetStream final : public client::GetStream {
 public:
  explicit FakeGetStream(std::vector<std::pair<Entry, std::string>> entries) : entries_(std::move(entries)) {}
  const client::CheckpointInfo& checkpoint() const override { return info_; }
  uint64_t entries() const override { return entries_.size(); }
  uint64_t total_bytes() const override { return 0; }
  uint64_t bytes_done() const override { return 0; }
  absl::StatusOr<std::optional<client::GetEntry>> Next() override {
    if (next_ == entries_.size()) return std::optional<client::GetEntry>();
    offset_ = 0;
    client::GetEntry entry;
    entry.entry = entries_[next_].first;
    entry.bytes = entries_[next_].second.size();
    ++next_;
    return std::optional<client::GetEntry>(entry);
  }
  absl::StatusOr<client::GetChunk> ReadChunk() override {
    const std::string& bytes = entries_[next_ - 1].second;
    client::GetChunk chunk;
    chunk.offset = offset_;
    const std::string piece = bytes.substr(offset_, kChunk);
    offset_ += piece.size();
    if (!piece.empty()) {
      chunk.pieces.push_back(Buffer::FromString(piece.substr(0, 1)));
      if (piece.size() > 1) chunk.pieces.push_back(Buffer::FromString(piece.substr(1)));
    }
    return chunk;
  }
  absl::Status ReadInto(absl::Span<char>) override { return absl::UnimplementedError("not used"); }
  void Cancel() override {}

 private:
  const client::CheckpointInfo info_ = Info();
  const std::vector<std::pair<Entry, std::string>> entries_;
  size_t next_ = 0;
  size_t offset_ = 0;
};

class RemoteReaderTest : public ::testing::Test {
 protected:
  RemoteReaderTest() {
    for (const std::string name : {"a", "b", "c"}) {
      std::string bytes;
      for (int i = 0; i < 10; ++i) bytes.push_back(static_cast<char>(name[0] + i));
      Add(Entry::Tensor(KeyPath::Of({name}), Dtype::kUint8, {10}, 10), bytes);
    }
    ON_CALL(*connection_, GetCheckpoint(_)).WillByDefault([](const std::string&) { return Info(); });
    ON_CALL(*connection_, ListEntries(_)).WillByDefault([this](const client::ListEntriesSpec& spec) {
      EXPECT_EQ(spec.ref, "uid:u1");
      client::EntryPage page;
      page.checkpoint = Info();
      for (const auto& [entry, bytes] : stored_) {
        client::EntryInfo info;
        info.entry = entry;
        page.entries.push_back(info);
      }
      return page;
    });
    ON_CALL(*connection_, OpenGet(_)).WillByDefault([this](const client::GetSpec& spec) {
      EXPECT_EQ(spec.ref, "uid:u1");
      std::vector<std::string> asked;
      std::vector<std::pair<Entry, std::string>> answer;
      for (const KeyPath& path : spec.paths) {
        asked.push_back(Shown(path));
        const auto found =
            std::find_if(stored_.begin(), stored_.end(), [&](const auto& e) { return e.first.path == path; });
        answer.push_back(*found);
        if (lie_) answer.back().second.pop_back();
      }
      asked_.push_back(asked);
      return std::unique_ptr<client::GetStream>(std::make_unique<FakeGetStream>(answer));
    });
  }

  void Add(Entry entry, std::string bytes) { stored_.emplace_back(std::move(entry), std::move(bytes)); }
  std::unique_ptr<RemoteReader> Open(std::optional<Dtype> dtype = std::nullopt) {
    return RemoteReader::Open(client::Client(connection_), "run@best", dtype).value();
  }
  std::string Read(RemoteReader& reader, size_t entry, uint64_t offset, size_t length) {
    std::string bytes(length, '\0');
    CAIRN_EXPECT_OK(reader.ReadAt(entry, offset, absl::MakeSpan(bytes)));
    return bytes;
  }

  std::shared_ptr<NiceMock<client::MockConnection>> connection_ =
      std::make_shared<NiceMock<client::MockConnection>>();
  std::vector<std::pair<Entry, std::string>> stored_;
  std::vector<std::vector<std::string>> asked_;  // Paths of each stream.
  bool lie_ = false;
};

TEST_F(RemoteReaderTest, ReadsWhatWasAnnouncedThroughOneStreamInThatOrder) {
  auto reader = Open();
  CAIRN_ASSERT_OK(reader->WillRead({{2, 0, 10}, {0, 0, 10}, {1, 0, 10}}));
  EXPECT_EQ(Read(*reader, 2, 0, 4), "cdef");
  EXPECT_EQ(Read(*reader, 2, 4, 6), "ghijkl");
  EXPECT_EQ(Read(*reader, 0, 0, 10), "abcdefghij");
  EXPECT_EQ(Read(*reader, 1, 0, 10), "bcdefghijk");
  EXPECT_THAT(asked_, ElementsAre(ElementsAre("c", "a", "b")));
}

TEST_F(RemoteReaderTest, SkipsForwardWithinTheStream) {
  auto reader = Open();
  CAIRN_ASSERT_OK(reader->WillRead({{0, 0, 10}, {1, 0, 10}, {2, 0, 10}}));
  EXPECT_EQ(Read(*reader, 0, 2, 2), "cd");
  EXPECT_EQ(Read(*reader, 0, 8, 2), "ij");
  EXPECT_EQ(Read(*reader, 2, 5, 1), "h");
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(RemoteReaderTest, ReadsAnywhereElseAndComesBackToThePlan) {
  auto reader = Open();
  CAIRN_ASSERT_OK(reader->WillRead({{0, 0, 10}, {1, 0, 10}, {2, 0, 10}}));
  EXPECT_EQ(Read(*reader, 0, 5, 2), "fg");
  EXPECT_EQ(Read(*reader, 0, 0, 2), "ab") << "backwards";
  EXPECT_EQ(Read(*reader, 1, 0, 2), "bc");
  EXPECT_EQ(Read(*reader, 2, 0, 2), "cd");
  EXPECT_THAT(asked_, ElementsAre(ElementsAre("a", "b", "c"), ElementsAre("a"), ElementsAre("b", "c")));
}

TEST_F(RemoteReaderTest, ReadsWithoutAnyAnnouncement) {
  auto reader = Open();
  EXPECT_EQ(Read(*reader, 1, 9, 1), "k");
  EXPECT_THAT(asked_, ElementsAre(ElementsAre("b")));
}

TEST_F(RemoteReaderTest, ShowsTheDtypeInWhichFloatsWillArrive) {
  Add(Entry::Tensor(KeyPath::Of({"w"}), Dtype::kFloat32, {2}, 8), "12345678");
  auto reader = Open(Dtype::kBfloat16);
  EXPECT_EQ(reader->index().entries[3].dtype, Dtype::kBfloat16);
  EXPECT_EQ(reader->index().entries[3].byte_size, 4u);
  EXPECT_EQ(reader->index().entries[0].dtype, Dtype::kUint8);
}

TEST_F(RemoteReaderTest, RefusesAnAnswerThatIsNotWhatWasAskedFor) {
  lie_ = true;
  auto reader = Open();
  std::string bytes(10, '\0');
  EXPECT_THAT(reader->ReadAt(0, 0, absl::MakeSpan(bytes)),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("asked for \"a\" (uint8, 10 bytes)")));
}

TEST_F(RemoteReaderTest, RefusesBytesBeyondTheEntry) {
  auto reader = Open();
  std::string bytes(2, '\0');
  EXPECT_THAT(reader->ReadAt(0, 9, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_TRUE(asked_.empty());
}

TEST_F(RemoteReaderTest, AsksForManyPathsInSeveralStreams) {
  stored_.clear();
  std::vector<EntryRange> ranges;
  for (size_t i = 0; i < 3000; ++i) {
    Add(Entry::Tensor(KeyPath::Of({std::string(1000, 'x') + std::to_string(i)}), Dtype::kUint8, {1}, 1), "1");
    ranges.push_back({i, 0, 1});
  }
  auto reader = Open();
  CAIRN_ASSERT_OK(reader->WillRead(ranges));
  for (size_t i = 0; i < 3000; ++i) ASSERT_EQ(Read(*reader, i, 0, 1), "1");
  EXPECT_THAT(asked_.size(), ::testing::AllOf(::testing::Gt(1u), ::testing::Lt(5u)));
}

// Holds what was put, as a PutStream does until it is durable.
class HoldingPutStream final : public client::PutStream {
 public:
  struct Held {
    Entry entry;
    std::shared_ptr<client::EntryBytes> bytes;
  };
  explicit HoldingPutStream(std::vector<Held>* held) : held_(held) {}
  absl::Status Put(Entry entry, std::optional<Box>, std::shared_ptr<client::EntryBytes> bytes) override {
    held_->push_back({std::move(entry), std::move(bytes)});
    return absl::OkStatus();
  }
  absl::Status Start(Entry, std::optional<Box>) override { return absl::UnimplementedError("not used"); }
  absl::Status Append(Buffer) override { return absl::UnimplementedError("not used"); }
  absl::Status FinishEntry() override { return absl::UnimplementedError("not used"); }
  absl::Status Flush() override { return absl::OkStatus(); }
  absl::Status Finish() override { return absl::OkStatus(); }
  void Cancel() override {}
  client::PutProgress progress() const override { return {}; }

 private:
  std::vector<Held>* const held_;
};

class OneTensor final : public CheckpointReader {
 public:
  OneTensor() {
    index_.entries = {Entry::OfValue(KeyPath::Of({"step"}), Value::Int(3)),
                      Entry::Tensor(KeyPath::Of({"w"}), Dtype::kUint8, {4}, 4),
                      Entry::Alias(KeyPath::Of({"head"}), KeyPath::Of({"w"}))};
  }
  const CheckpointIndex& index() const override { return index_; }
  absl::Status ReadAt(size_t, uint64_t offset, absl::Span<char> dst) override {
    ++reads;
    if (!failure.ok()) return failure;
    for (size_t i = 0; i < dst.size(); ++i) dst[i] = static_cast<char>('0' + offset + i);
    return absl::OkStatus();
  }
  int reads = 0;
  absl::Status failure;

 private:
  CheckpointIndex index_;
};

TEST(PutCheckpoint, PutsEveryEntryAndReadsBytesOnlyWhenTheyAreWanted) {
  std::vector<HoldingPutStream::Held> held;
  client::SaveWriter save(std::make_shared<NiceMock<client::MockConnection>>(), {}, 0,
                          std::make_unique<HoldingPutStream>(&held));
  OneTensor source;
  CAIRN_ASSERT_OK(PutCheckpoint(save, source));
  ASSERT_EQ(held.size(), 3u);
  EXPECT_EQ(held[0].bytes, nullptr);
  EXPECT_EQ(held[2].bytes, nullptr);
  EXPECT_EQ(source.reads, 0);
  std::string bytes(2, '\0');
  CAIRN_ASSERT_OK(held[1].bytes->ReadAt(2, absl::MakeSpan(bytes)));
  EXPECT_EQ(bytes, "23");
  CAIRN_ASSERT_OK(held[1].bytes->ReadAt(0, absl::MakeSpan(bytes)));
  EXPECT_EQ(bytes, "01") << "again, after a lost connection";
  source.failure = absl::DataLossError("crc32c is wrong");
  EXPECT_THAT(held[1].bytes->ReadAt(0, absl::MakeSpan(bytes)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("\"w\"")));
}

}  // namespace
}  // namespace cairn::transfer
