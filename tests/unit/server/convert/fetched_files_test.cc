#include "server/convert/fetched_files.h"

#include <algorithm>
#include <thread>

#include "gtest/gtest.h"
#include "tests/testing/pattern_bytes.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

constexpr uint64_t kRange = 64 << 10;

// The other end, which answers at once, or when it is told to, and remembers what it was asked for.
class FetchedFilesTest : public ::testing::Test {
 protected:
  std::shared_ptr<FetchedFiles> Fetch(std::vector<std::pair<std::string, std::string>> contents, uint64_t window = 16 * kRange,
                                      uint32_t range_bytes = kRange) {
    std::vector<FetchableFile> list;
    for (const auto& [name, bytes] : contents) list.push_back({name, bytes.size()});
    contents_ = std::move(contents);
    FetchedFilesOptions options{.name = "model", .window_bytes = window, .range_bytes = range_bytes};
    files_ = FetchedFiles::Create(std::move(list), options, [this](std::vector<FetchedRange> ranges) {
               absl::MutexLock lock(&mu_);
               for (const FetchedRange& range : ranges) {
                 asked_.push_back(range);
                 under_way_ += range.length;
                 most_under_way_ = std::max(most_under_way_, under_way_);
                 if (answers_) Answer(range);
               }
             }).value();
    return files_;
  }

  void Answer(const FetchedRange& range) {
    under_way_ -= range.length;
    const std::string bytes = contents_[range.file].second.substr(range.offset, range.length);
    // In pieces, as they come over the wire.
    const size_t half = bytes.size() / 3;
    CAIRN_EXPECT_OK(files_->Answer(range.id, range.offset, {Buffer::FromString(bytes.substr(0, half)), Buffer::FromString(bytes.substr(half))}));
  }

  std::string Read(const ByteSource& source, uint64_t offset, size_t length) {
    std::string bytes(length, '\0');
    CAIRN_EXPECT_OK(source.ReadAt(offset, absl::MakeSpan(bytes)));
    return bytes;
  }

  uint64_t BytesAsked() {
    absl::MutexLock lock(&mu_);
    uint64_t bytes = 0;
    for (const FetchedRange& range : asked_) bytes += range.length;
    return bytes;
  }

  absl::Mutex mu_;
  bool answers_ = true;
  std::vector<std::pair<std::string, std::string>> contents_;
  std::shared_ptr<FetchedFiles> files_;
  std::vector<FetchedRange> asked_;
  uint64_t under_way_ = 0;
  uint64_t most_under_way_ = 0;
};

TEST_F(FetchedFilesTest, AFileReadFrontToBackIsFetchedOnce) {
  const std::string content = testing::PatternBytes(40 * kRange + 77, 1);
  const auto source = Fetch({{"", content}})->Tree()->Open("").value();
  ASSERT_EQ(source->size(), content.size());
  std::string all;
  for (uint64_t at = 0; at < content.size(); at += 10'000) all += Read(*source, at, std::min<uint64_t>(10'000, content.size() - at));
  EXPECT_EQ(all, content);
  EXPECT_EQ(BytesAsked(), content.size());
}

TEST_F(FetchedFilesTest, RangesOfAnOddSizeDoNotOverlap) {
  const std::string content = testing::PatternBytes(2'000'000, 7);
  const auto source = Fetch({{"", content}}, 16 * kRange, 100'000)->Tree()->Open("").value();
  std::string all;
  for (uint64_t at = 0; at < content.size(); at += 50'000) all += Read(*source, at, 50'000);
  EXPECT_EQ(all, content);
  EXPECT_EQ(BytesAsked(), content.size());
}

TEST_F(FetchedFilesTest, ReadsAnywhereGiveTheBytesThatAreThere) {
  const std::string content = testing::PatternBytes(100 * kRange + 1, 2);
  const auto source = Fetch({{"", content}}, 4 * kRange)->Tree()->Open("").value();
  uint64_t state = 1;
  for (int i = 0; i < 500; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const uint64_t offset = (state >> 20) % content.size();
    const uint64_t length = std::min<uint64_t>((state >> 50) * 20, content.size() - offset);
    ASSERT_EQ(Read(*source, offset, length), content.substr(offset, length)) << offset << "+" << length;
  }
}

TEST_F(FetchedFilesTest, AReadLargerThanTheWindowGoesThroughIt) {
  const std::string content = testing::PatternBytes(50 * kRange, 3);
  const auto source = Fetch({{"", content}}, 2 * kRange)->Tree()->Open("").value();
  EXPECT_EQ(Read(*source, 100, content.size() - 100), content.substr(100));
  EXPECT_LE(most_under_way_, 2 * kRange);
}

TEST_F(FetchedFilesTest, SmallReadsHereAndThereAskForLittle) {
  const std::string content = testing::PatternBytes(1000 * kRange, 4);
  const auto source = Fetch({{"", content}})->Tree()->Open("").value();
  for (const uint64_t at : {900, 100, 500, 300, 700}) Read(*source, at * kRange, 16);
  EXPECT_EQ(BytesAsked(), 5 * kRange);
  // The last ones are still there.
  Read(*source, 700 * kRange + 16, 100);
  EXPECT_EQ(BytesAsked(), 5 * kRange);
}

TEST_F(FetchedFilesTest, ManyThreadsReadAtOnceThroughASmallWindow) {
  const std::string a = testing::PatternBytes(30 * kRange, 5), b = testing::PatternBytes(20 * kRange, 6);
  const auto tree = Fetch({{"a", a}, {"b", b}}, 2 * kRange)->Tree();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::string& content = t % 2 == 0 ? a : b;
      const auto source = tree->Open(t % 2 == 0 ? "a" : "b").value();
      for (uint64_t at = 0; at + 9000 < content.size(); at += 9000) ASSERT_EQ(Read(*source, at, 9000), content.substr(at, 9000));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(FetchedFilesTest, WhoeverWaitsGetsTheErrorThatEndsTheStream) {
  answers_ = false;
  const auto source = Fetch({{"", std::string(10, 'x')}})->Tree()->Open("").value();
  std::string bytes(10, '\0');
  absl::Status status;
  std::thread reader([&] { status = source->ReadAt(0, absl::MakeSpan(bytes)); });
  mu_.LockWhen(absl::Condition(+[](std::vector<FetchedRange>* asked) { return !asked->empty(); }, &asked_));
  mu_.Unlock();
  files_->Fail(absl::CancelledError("the client went away"));
  reader.join();
  EXPECT_EQ(status, absl::CancelledError("the client went away"));
  EXPECT_EQ(files_->status(), status);
}

TEST_F(FetchedFilesTest, AnswersThatWereNotAskedForOrHaveOtherBytesAreRefused) {
  answers_ = false;
  const auto source = Fetch({{"", std::string(100, 'x')}})->Tree()->Open("").value();
  std::string bytes(10, '\0');
  absl::Status status;
  std::thread reader([&] { status = source->ReadAt(0, absl::MakeSpan(bytes)); });
  mu_.LockWhen(absl::Condition(+[](std::vector<FetchedRange>* asked) { return !asked->empty(); }, &asked_));
  const FetchedRange range = asked_.front();
  mu_.Unlock();
  const auto refused = [&](uint64_t id, uint64_t offset, size_t length) {
    return absl::IsInvalidArgument(files_->Answer(id, offset, {Buffer::FromString(std::string(length, 'x'))}));
  };
  EXPECT_TRUE(refused(range.id + 1, range.offset, range.length));
  EXPECT_TRUE(refused(range.id, range.offset + 1, range.length));
  EXPECT_TRUE(refused(range.id, range.offset, range.length - 1));
  EXPECT_TRUE(refused(range.id, range.offset, range.length + 1));
  EXPECT_FALSE(refused(range.id, range.offset, range.length));
  EXPECT_TRUE(refused(range.id, range.offset, range.length));  // Once.
  reader.join();
  CAIRN_EXPECT_OK(status);
}

TEST_F(FetchedFilesTest, ReadsOutsideOfTheFileAreRefusedWithoutAsking) {
  const auto source = Fetch({{"", "0123456789"}})->Tree()->Open("").value();
  std::string bytes(5, '\0');
  EXPECT_TRUE(absl::IsOutOfRange(source->ReadAt(6, absl::MakeSpan(bytes))));
  EXPECT_TRUE(absl::IsOutOfRange(source->ReadAt(UINT64_MAX, absl::MakeSpan(bytes))));
  EXPECT_EQ(Read(*source, 10, 0), "");
  EXPECT_EQ(BytesAsked(), 0);
  EXPECT_EQ(Read(*source, 5, 5), "56789");
}

TEST_F(FetchedFilesTest, AFolderHasTheFilesThatAreListedAndNoOthers) {
  const auto tree = Fetch({{"b", "B"}, {"a", "A"}, {"sub/c", "C"}, {"sub/deep/d", "D"}})->Tree();
  EXPECT_TRUE(tree->is_directory());
  EXPECT_EQ(tree->List().value(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(Read(*tree->Open("sub/c").value(), 0, 1), "C");
  const auto sub = tree->OpenFolder("sub").value();
  EXPECT_EQ(sub->List().value(), (std::vector<std::string>{"c"}));
  EXPECT_EQ(Read(*sub->Open("deep/d").value(), 0, 1), "D");
  EXPECT_TRUE(absl::IsNotFound(tree->OpenFolder("a").status()));
  EXPECT_TRUE(absl::IsNotFound(tree->Open("c").status()));
  for (const char* name : {"../a", "/etc/passwd", "sub/../a", "", "sub//c"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(tree->Open(name).status())) << name;
  }
}

TEST_F(FetchedFilesTest, ALoneFileKnowsItsNeighboursIfTheyAreListed) {
  std::vector<FetchableFile> list = {{"", 3}, {"x.index.json", 3, true}, {"shard", 4, true}};
  const auto with = FetchedFiles::Create(list, {.name = "x.index.json"}, [](auto) {}).value()->Tree();
  EXPECT_FALSE(with->is_directory());
  EXPECT_EQ(with->OpenParent().value()->List().value(), (std::vector<std::string>{"shard", "x.index.json"}));
  EXPECT_TRUE(absl::IsInvalidArgument(with->Open("shard").status()));
  const auto without = FetchedFiles::Create({{"", 3}}, {.name = "x"}, [](auto) {}).value()->Tree();
  EXPECT_TRUE(absl::IsFailedPrecondition(without->OpenParent().status()));
}

TEST_F(FetchedFilesTest, HostileListsAreRefused) {
  using List = std::vector<FetchableFile>;
  for (const List& list : {List{{"../x", 1}}, List{{"/x", 1}}, List{{"a/../../x", 1}}, List{{"a", 1}, {"a", 2}}, List{{"", 1}, {"", 1}},
                           List{{"", 1}, {"a", 1}}, List{{"a", 1}, {"b", 1, true}}, List{{"", 1}, {"", 1, true}},
                           List{{"", 1}, {"../b", 1, true}}, List{{std::string("a\0b", 3), 1}}}) {
    const auto made = FetchedFiles::Create(list, {.name = "x"}, [](auto) {});
    EXPECT_TRUE(absl::IsInvalidArgument(made.status())) << list.front().name << ": " << made.status();
  }
}

}  // namespace
}  // namespace cairn
