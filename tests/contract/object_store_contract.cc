#include "tests/contract/object_store_contract.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/buffer.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kSmall = 1 << 16;

std::string RandomBytes(size_t size, uint32_t seed) {
  std::minstd_rand random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random() >> 8);
  return bytes;
}

std::vector<std::string> KeysOf(const std::vector<ObjectStore::ObjectInfo>& infos) {
  std::vector<std::string> keys;
  for (const ObjectStore::ObjectInfo& info : infos) keys.push_back(info.key);
  return keys;
}

absl::Status ReadRange(ObjectStore& store, absl::string_view key, uint64_t offset, size_t length,
                       std::string* out) {
  out->assign(length, '?');
  return store.Read(key, offset, absl::MakeSpan(*out));
}

// Runs `body(i)` in `count` threads that start together.
template <typename Body>
void InThreads(int count, Body body) {
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      ++ready;
      while (ready < count) std::this_thread::yield();
      body(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

const std::vector<std::string>& HostileKeys() {
  static const auto* const keys =
      new std::vector<std::string>{"",
                                   ".",
                                   "..",
                                   "/",
                                   "/etc/passwd",
                                   "../outside",
                                   "a/../../outside",
                                   "a/..",
                                   "a/.",
                                   "./a",
                                   "a//b",
                                   "a/",
                                   "/a",
                                   "a b",
                                   "a\\b",
                                   "a:b",
                                   "a%2fb",
                                   "a+b",
                                   "a*",
                                   std::string("a\0b", 3),
                                   "a\nb",
                                   "\xc3\xa4",
                                   "a\x7f",
                                   std::string(256, 'k'),
                                   absl::StrCat("a/", std::string(256, 'k')),
                                   std::string(100'000, 'k'),
                                   absl::StrCat(std::string(255, 'k'), "/", std::string(255, 'l'), "/m")};
  return *keys;
}

TEST_P(ObjectStoreContract, GivesBackWhatWasPut) {
  CAIRN_ASSERT_OK(PutObject(*store_, "team/run/object-1", "hello"));
  EXPECT_EQ(GetObject(*store_, "team/run/object-1", kSmall).value(), "hello");
  EXPECT_EQ(store_->Size("team/run/object-1").value(), 5u);
}

TEST_P(ObjectStoreContract, KeepsEveryByteValue) {
  std::string bytes(256, '\0');
  for (int i = 0; i < 256; ++i) bytes[i] = static_cast<char>(i);
  CAIRN_ASSERT_OK(PutObject(*store_, "bytes", bytes));
  EXPECT_EQ(GetObject(*store_, "bytes", kSmall).value(), bytes);
}

TEST_P(ObjectStoreContract, TakesAnEmptyObject) {
  CAIRN_ASSERT_OK(PutObject(*store_, "empty", ""));
  EXPECT_EQ(store_->Size("empty").value(), 0u);
  EXPECT_EQ(GetObject(*store_, "empty", 0).value(), "");
  EXPECT_THAT(KeysOf(store_->List("", "", 10).value()), ElementsAre("empty"));
}

TEST_P(ObjectStoreContract, TakesAnObjectWithoutAnyAppend) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store_->Create("never-appended", 0));
  CAIRN_ASSERT_OK(writer->Seal());
  EXPECT_EQ(store_->Size("never-appended").value(), 0u);
}

TEST_P(ObjectStoreContract, ReadsAnyRangeOfAnObject) {
  CAIRN_ASSERT_OK(PutObject(*store_, "digits", "0123456789"));
  std::string bytes;
  for (uint64_t offset = 0; offset <= 10; ++offset) {
    for (size_t length = 0; length <= 10 - offset; ++length) {
      CAIRN_ASSERT_OK(ReadRange(*store_, "digits", offset, length, &bytes)) << offset << "+" << length;
      EXPECT_EQ(bytes, std::string("0123456789").substr(offset, length));
    }
  }
}

TEST_P(ObjectStoreContract, ShowsTheBytesInOrderWhileItReadsThem) {
  const std::string bytes = RandomBytes((3u << 20) + 77, 8);
  CAIRN_ASSERT_OK(PutObject(*store_, "pieces", bytes));
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 20}) {
    for (const size_t length : {size_t{0}, size_t{1}, size_t{300'000}, size_t{2} << 20}) {
      std::string read(length, '?');
      std::string seen;
      CAIRN_ASSERT_OK(store_->ReadInPieces("pieces", offset, absl::MakeSpan(read),
                                           [&](absl::string_view piece) { seen.append(piece.data(), piece.size()); }));
      EXPECT_TRUE(read == bytes.substr(offset, length)) << offset << "+" << length;
      EXPECT_TRUE(seen == read) << offset << "+" << length;
    }
  }
  char byte = 0;
  EXPECT_THAT(store_->ReadInPieces("missing", 0, absl::MakeSpan(&byte, 1), [](absl::string_view) {}),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(ObjectStoreContract, GivesAnObjectAsAFileThatOutlivesIt) {
  const std::string bytes = RandomBytes(300'000, 3);
  CAIRN_ASSERT_OK(PutObject(*store_, "team/file", bytes));
  const absl::StatusOr<UniqueFd> file = store_->OpenAsFile("team/file");
  if (absl::IsUnimplemented(file.status())) return;
  CAIRN_ASSERT_OK(file);
  CAIRN_ASSERT_OK(store_->Delete("team/file"));
  std::string read(bytes.size() + 1, '?');
  ASSERT_EQ(::pread(file->get(), read.data(), read.size(), 0), static_cast<ssize_t>(bytes.size()));
  read.pop_back();
  EXPECT_EQ(read, bytes);
  EXPECT_EQ(::write(file->get(), "x", 1), -1);
  EXPECT_THAT(store_->OpenAsFile("team/file"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->OpenAsFile("../file"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(ObjectStoreContract, RefusesARangeThatLeavesTheObject) {
  CAIRN_ASSERT_OK(PutObject(*store_, "digits", "0123456789"));
  std::string bytes;
  const std::vector<std::pair<uint64_t, size_t>> ranges = {
      {0, 11},        {10, 1}, {11, 0}, {9, 2}, {UINT64_MAX, 0}, {UINT64_MAX, 1}, {UINT64_MAX - 1, 4},
      {1ull << 63, 1}};
  for (const auto& [offset, length] : ranges) {
    EXPECT_THAT(ReadRange(*store_, "digits", offset, length, &bytes), StatusIs(absl::StatusCode::kOutOfRange))
        << offset << "+" << length;
  }
}

TEST_P(ObjectStoreContract, SaysNotFoundWhereThereIsNoObject) {
  CAIRN_ASSERT_OK(PutObject(*store_, "there/is", "one"));
  std::string bytes;
  for (const char* key : {"missing", "there", "there/isnot", "there/is/more", "i"}) {
    EXPECT_THAT(ReadRange(*store_, key, 0, 1, &bytes), StatusIs(absl::StatusCode::kNotFound, HasSubstr(key)));
    EXPECT_THAT(ReadRange(*store_, key, 0, 0, &bytes), StatusIs(absl::StatusCode::kNotFound));
    EXPECT_THAT(store_->Size(key), StatusIs(absl::StatusCode::kNotFound, HasSubstr(key)));
    EXPECT_THAT(GetObject(*store_, key, kSmall), StatusIs(absl::StatusCode::kNotFound));
  }
}

TEST_P(ObjectStoreContract, GetObjectRefusesMoreBytesThanAllowed) {
  CAIRN_ASSERT_OK(PutObject(*store_, "ten", "0123456789"));
  EXPECT_THAT(GetObject(*store_, "ten", 9), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("ten")));
  CAIRN_EXPECT_OK(GetObject(*store_, "ten", 10));
}

TEST_P(ObjectStoreContract, RefusesToReplaceAnObject) {
  CAIRN_ASSERT_OK(PutObject(*store_, "fixed", "first"));
  EXPECT_THAT(PutObject(*store_, "fixed", "second"),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("fixed")));
  EXPECT_EQ(GetObject(*store_, "fixed", kSmall).value(), "first");
}

TEST_P(ObjectStoreContract, OfTwoOpenWritersTheFirstSealWins) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto first, store_->Create("contested", 0));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto second, store_->Create("contested", 0));
  CAIRN_ASSERT_OK(first->Append({Buffer::FromString("first")}));
  CAIRN_ASSERT_OK(second->Append({Buffer::FromString("second")}));
  CAIRN_ASSERT_OK(second->Seal());
  EXPECT_THAT(first->Seal(), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("contested")));
  EXPECT_EQ(GetObject(*store_, "contested", kSmall).value(), "second");
}

TEST_P(ObjectStoreContract, IsInvisibleBeforeSeal) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store_->Create("growing", 7));
  CAIRN_ASSERT_OK(writer->Append({Buffer::FromString("content")}));
  EXPECT_EQ(writer->size(), 7u);
  EXPECT_THAT(store_->Size("growing"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->List("", "", 10).value(), IsEmpty());
  CAIRN_ASSERT_OK(writer->Seal());
  EXPECT_EQ(store_->Size("growing").value(), 7u);
}

TEST_P(ObjectStoreContract, ADestroyedWriterLeavesNothing) {
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store_->Create("dropped", 0));
    CAIRN_ASSERT_OK(writer->Append({Buffer::FromString("content")}));
  }
  EXPECT_THAT(store_->Size("dropped"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->List("", "", 10).value(), IsEmpty());
  CAIRN_EXPECT_OK(PutObject(*store_, "dropped", "again"));
}

TEST_P(ObjectStoreContract, ASealedWriterTakesNothingMore) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store_->Create("sealed", 0));
  CAIRN_ASSERT_OK(writer->Append({Buffer::FromString("content")}));
  CAIRN_ASSERT_OK(writer->Seal());
  EXPECT_FALSE(writer->Append({Buffer::FromString("more")}).ok());
  EXPECT_EQ(writer->size(), 7u);
  EXPECT_EQ(GetObject(*store_, "sealed", kSmall).value(), "content");
}

TEST_P(ObjectStoreContract, AWriterWhoseSealFailedStaysDead) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store_->Create("taken", 0));
  CAIRN_ASSERT_OK(PutObject(*store_, "taken", "other"));
  EXPECT_THAT(writer->Seal(), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_FALSE(writer->Append({Buffer::FromString("more")}).ok());
}

TEST_P(ObjectStoreContract, JoinsManyPiecesInOrder) {
  // More than one system call takes, some of them empty, all slices of one owner.
  const Buffer all = Buffer::FromString(RandomBytes(60'000, 7));
  std::vector<Buffer> pieces;
  for (size_t offset = 0, i = 0; offset < all.size(); ++i) {
    const size_t length = std::min<size_t>(i % 23, all.size() - offset);
    pieces.push_back(all.Slice(offset, length));
    offset += length;
  }
  ASSERT_GT(pieces.size(), 5'000u);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store_->Create("gathered", all.size()));
  CAIRN_ASSERT_OK(writer->Append(pieces));
  CAIRN_ASSERT_OK(writer->Append({}));
  CAIRN_ASSERT_OK(writer->Append({Buffer::FromString("end")}));
  EXPECT_EQ(writer->size(), all.size() + 3);
  CAIRN_ASSERT_OK(writer->Seal());
  EXPECT_EQ(GetObject(*store_, "gathered", 1 << 20).value(), absl::StrCat(all.bytes(), "end"));
}

TEST_P(ObjectStoreContract, CarriesALargeObject) {
  constexpr size_t kPiece = 1 << 20;
  constexpr uint64_t kPieces = 40;
  std::vector<Buffer> pieces;
  for (uint32_t i = 0; i < kPieces; ++i) pieces.push_back(Buffer::FromString(RandomBytes(kPiece, i + 1)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store_->Create("large", kPieces * kPiece));
  for (size_t i = 0; i < kPieces; i += 8) {
    CAIRN_ASSERT_OK(writer->Append(absl::MakeConstSpan(pieces).subspan(i, 8)));
  }
  CAIRN_ASSERT_OK(writer->Seal());
  EXPECT_EQ(store_->Size("large").value(), kPieces * kPiece);
  std::string bytes;
  for (uint64_t i = 0; i < kPieces; ++i) {
    CAIRN_ASSERT_OK(ReadRange(*store_, "large", i * kPiece, kPiece, &bytes));
    ASSERT_TRUE(bytes == pieces[i].bytes()) << "piece " << i;
  }
}

TEST_P(ObjectStoreContract, AHintThatIsWrongDoesNoHarm) {
  for (const uint64_t hint : {uint64_t{1}, uint64_t{1} << 30, UINT64_MAX}) {
    const std::string key = absl::StrCat("hint-", hint);
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store_->Create(key, hint));
    CAIRN_ASSERT_OK(writer->Append({Buffer::FromString("four")}));
    CAIRN_ASSERT_OK(writer->Seal());
    EXPECT_EQ(store_->Size(key).value(), 4u);
  }
}

TEST_P(ObjectStoreContract, DeleteRemovesAnObjectAndMayBeRepeated) {
  CAIRN_ASSERT_OK(PutObject(*store_, "folder/old", "bytes"));
  CAIRN_ASSERT_OK(PutObject(*store_, "folder/other", "stays"));
  CAIRN_ASSERT_OK(GetObject(*store_, "folder/old", kSmall));
  CAIRN_ASSERT_OK(store_->Delete("folder/old"));
  CAIRN_ASSERT_OK(store_->Delete("folder/old"));
  CAIRN_ASSERT_OK(store_->Delete("never/was"));
  CAIRN_ASSERT_OK(store_->Delete("folder"));
  std::string bytes;
  EXPECT_THAT(ReadRange(*store_, "folder/old", 0, 1, &bytes), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->Size("folder/old"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(KeysOf(store_->List("", "", 10).value()), ElementsAre("folder/other"));
}

TEST_P(ObjectStoreContract, ADeletedKeyMayBeUsedAgain) {
  CAIRN_ASSERT_OK(PutObject(*store_, "a/b/again", "first"));
  EXPECT_EQ(GetObject(*store_, "a/b/again", kSmall).value(), "first");
  CAIRN_ASSERT_OK(store_->Delete("a/b/again"));
  CAIRN_ASSERT_OK(PutObject(*store_, "a/b/again", "the second"));
  EXPECT_EQ(GetObject(*store_, "a/b/again", kSmall).value(), "the second");
}

TEST_P(ObjectStoreContract, AnOpenWriterOutlastsTheDeletionOfItsNeighbours) {
  CAIRN_ASSERT_OK(PutObject(*store_, "x/y/neighbour", "bytes"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store_->Create("x/y/mine", 0));
  CAIRN_ASSERT_OK(store_->Delete("x/y/neighbour"));
  CAIRN_ASSERT_OK(writer->Seal());
  CAIRN_EXPECT_OK(store_->Size("x/y/mine"));
}

TEST_P(ObjectStoreContract, ListsInTheBytewiseOrderOfWholeKeys) {
  // '-' and '.' sort before '/', digits and letters after it: the order is that of keys, not of folders.
  const std::vector<std::string> keys = {"A",       "a-b",    "a.b",       "a/b",   "a/b-c",
                                         "a/b.c/d", "a/bb/c", "a/c/d",     "a/c/e", "a0",
                                         "a0/b",    "aa",     "b/.hidden", "b/...", "z_"};
  std::vector<std::string> expected = keys;
  std::sort(expected.begin(), expected.end());
  // "a0" and "a0/b" may exclude one another.
  expected.erase(std::find(expected.begin(), expected.end(), "a0/b"));
  for (auto it = expected.rbegin(); it != expected.rend(); ++it)
    CAIRN_ASSERT_OK(PutObject(*store_, *it, *it));

  CAIRN_ASSERT_OK_AND_ASSIGN(const auto listed, store_->List("", "", 100));
  EXPECT_EQ(KeysOf(listed), expected);
  for (const ObjectStore::ObjectInfo& info : listed) EXPECT_EQ(info.bytes, info.key.size()) << info.key;

  // Every page size, and every prefix of every key, from every start.
  for (size_t limit = 1; limit <= expected.size() + 1; ++limit) {
    std::vector<std::string> paged;
    std::string after;
    while (true) {
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto page, store_->List("", after, limit));
      ASSERT_LE(page.size(), limit);
      for (const auto& info : page) paged.push_back(info.key);
      if (page.size() < limit) break;
      after = page.back().key;
    }
    EXPECT_EQ(paged, expected) << "pages of " << limit;
  }
  for (const std::string& key : keys) {
    for (size_t length = 0; length <= key.size(); ++length) {
      const std::string prefix = key.substr(0, length);
      for (const std::string& start : keys) {
        std::vector<std::string> wanted;
        for (const std::string& candidate : expected) {
          if (candidate.rfind(prefix, 0) == 0 && candidate > start) wanted.push_back(candidate);
        }
        ASSERT_EQ(KeysOf(store_->List(prefix, start, 100).value()), wanted) << prefix << " after " << start;
      }
    }
  }
}

TEST_P(ObjectStoreContract, ListTakesAnyPrefixAndStart) {
  CAIRN_ASSERT_OK(PutObject(*store_, "a/b", "x"));
  CAIRN_ASSERT_OK(PutObject(*store_, "c", "x"));
  for (const char* prefix : {"..", "../", "/", "a/../", "a//", "\xff", "a/b/", "a/b/c", "b"}) {
    EXPECT_THAT(store_->List(prefix, "", 10).value(), IsEmpty()) << prefix;
  }
  EXPECT_THAT(KeysOf(store_->List("", "a", 10).value()), ElementsAre("a/b", "c"));
  EXPECT_THAT(KeysOf(store_->List("", "a/b/c", 10).value()), ElementsAre("c"));
  EXPECT_THAT(KeysOf(store_->List("", "../..", 10).value()), ElementsAre("a/b", "c"));
  EXPECT_THAT(store_->List("", "\xff", 10).value(), IsEmpty());
  EXPECT_THAT(store_->List("", "", 0).value(), IsEmpty());
}

TEST_P(ObjectStoreContract, RefusesKeysThatAreNone) {
  std::string bytes;
  for (const std::string& key : HostileKeys()) {
    EXPECT_THAT(store_->Create(key, 0), StatusIs(absl::StatusCode::kInvalidArgument)) << key;
    EXPECT_THAT(store_->Size(key), StatusIs(absl::StatusCode::kInvalidArgument)) << key;
    EXPECT_THAT(ReadRange(*store_, key, 0, 1, &bytes), StatusIs(absl::StatusCode::kInvalidArgument)) << key;
    EXPECT_THAT(store_->Delete(key), StatusIs(absl::StatusCode::kInvalidArgument)) << key;
  }
  EXPECT_THAT(store_->List("", "", 10).value(), IsEmpty());
}

TEST_P(ObjectStoreContract, TakesKeysAtTheEdgeOfWhatIsAllowed) {
  const std::string longest = absl::StrCat(std::string(255, 'k'), "/", std::string(254, 'l'), "/m");
  ASSERT_EQ(longest.size(), 512u);
  std::string deepest = "d";
  while (deepest.size() + 2 <= 512) deepest += "/d";
  for (const std::string& key : {longest, deepest, std::string("..."), std::string(".a"), std::string("a.."),
                                 std::string("-"), std::string("_.-")}) {
    CAIRN_ASSERT_OK(PutObject(*store_, key, "x")) << key;
    EXPECT_EQ(GetObject(*store_, key, kSmall).value(), "x");
    EXPECT_THAT(KeysOf(store_->List(key, "", 10).value()), ElementsAre(key));
    CAIRN_ASSERT_OK(store_->Delete(key));
  }
}

TEST_P(ObjectStoreContract, AKeyBelowAnotherKeyHarmsNeither) {
  CAIRN_ASSERT_OK(PutObject(*store_, "base", "first"));
  const absl::Status below = PutObject(*store_, "base/below", "second");
  if (!below.ok()) {
    EXPECT_THAT(below, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("base/below")));
  }
  EXPECT_EQ(GetObject(*store_, "base", kSmall).value(), "first");

  CAIRN_ASSERT_OK(PutObject(*store_, "deep/down", "first"));
  const absl::Status above = PutObject(*store_, "deep", "second");
  if (!above.ok()) {
    EXPECT_THAT(above, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("deep")));
  }
  EXPECT_EQ(GetObject(*store_, "deep/down", kSmall).value(), "first");
}

TEST_P(ObjectStoreContract, RemoveLeftoversNeverTouchesALiveWriter) {
  CAIRN_ASSERT_OK(PutObject(*store_, "sealed", "stays"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store_->Create("live", 0));
  CAIRN_ASSERT_OK(writer->Append({Buffer::FromString("first ")}));
  EXPECT_EQ(store_->RemoveLeftovers().value(), 0u);
  CAIRN_ASSERT_OK(writer->Append({Buffer::FromString("second")}));
  CAIRN_ASSERT_OK(writer->Seal());
  EXPECT_EQ(store_->RemoveLeftovers().value(), 0u);
  EXPECT_EQ(GetObject(*store_, "live", kSmall).value(), "first second");
  EXPECT_EQ(GetObject(*store_, "sealed", kSmall).value(), "stays");
}

TEST_P(ObjectStoreContract, TellsItsSpaceAndPlace) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const ObjectStore::Space space, store_->GetSpace());
  EXPECT_LE(space.free_bytes, space.total_bytes);
  EXPECT_FALSE(store_->Describe().empty());
}

TEST_P(ObjectStoreContract, OfRacingWritersExactlyOneWins) {
  constexpr int kWriters = 8;
  for (int round = 0; round < 5; ++round) {
    const std::string key = absl::StrCat("race/", round, "/object");
    std::atomic<int> winners{0};
    std::atomic<int> winner{-1};
    InThreads(kWriters, [&](int i) {
      const absl::Status status = PutObject(*store_, key, std::string(1000, static_cast<char>('a' + i)));
      if (status.ok()) {
        ++winners;
        winner = i;
      } else {
        EXPECT_THAT(status, StatusIs(absl::StatusCode::kAlreadyExists));
      }
    });
    ASSERT_EQ(winners, 1);
    EXPECT_EQ(GetObject(*store_, key, kSmall).value(), std::string(1000, static_cast<char>('a' + winner)));
  }
}

TEST_P(ObjectStoreContract, ManyThreadsWriteReadAndListAtOnce) {
  constexpr int kThreads = 6;
  constexpr int kObjects = 6;
  InThreads(kThreads, [&](int i) {
    for (int k = 0; k < kObjects; ++k) {
      const std::string key = absl::StrCat("shared/", k, "/from-", i);
      const std::string bytes = RandomBytes(20'000, static_cast<uint32_t>(i * kObjects + k + 1));
      CAIRN_EXPECT_OK(PutObject(*store_, key, bytes));
      EXPECT_EQ(GetObject(*store_, key, kSmall).value_or("none"), bytes);
      // What others have sealed by now is whole.
      const auto listed = store_->List("shared/", "", 1000);
      CAIRN_ASSERT_OK(listed);
      for (const ObjectStore::ObjectInfo& info : *listed) EXPECT_EQ(info.bytes, 20'000u) << info.key;
    }
  });
  EXPECT_EQ(store_->List("", "", 1000).value().size(), size_t{kThreads * kObjects});
}

TEST_P(ObjectStoreContract, AReaderOfADeletedObjectGetsItsBytesOrNotFound) {
  // Each life of the key has one letter throughout; a read that mixes two of them would be wrong bytes.
  constexpr size_t kBytes = 50'000;
  constexpr int kLives = 20;
  std::atomic<bool> done{false};
  std::atomic<int> last_sealed{-1};
  InThreads(4, [&](int i) {
    if (i == 0) {
      for (int life = 0; life < kLives; ++life) {
        CAIRN_EXPECT_OK(
            PutObject(*store_, "lives/object", std::string(kBytes, static_cast<char>('a' + life))));
        last_sealed = life;
        std::string now;
        CAIRN_EXPECT_OK(ReadRange(*store_, "lives/object", 0, kBytes, &now));
        EXPECT_EQ(now[0], 'a' + life) << "the bytes of a deleted object came back";
        CAIRN_EXPECT_OK(store_->Delete("lives/object"));
        EXPECT_THAT(ReadRange(*store_, "lives/object", 0, 1, &now), StatusIs(absl::StatusCode::kNotFound));
      }
      done = true;
      return;
    }
    std::string bytes;
    while (!done) {
      const int sealed_before = last_sealed;
      const absl::Status status = ReadRange(*store_, "lives/object", 0, kBytes, &bytes);
      if (status.ok()) {
        EXPECT_EQ(bytes.find_first_not_of(bytes[0]), std::string::npos) << "bytes of two objects in one read";
        EXPECT_GE(bytes[0], 'a' + sealed_before) << "bytes of an object that was gone before the read began";
      } else {
        EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound));
      }
    }
  });
}

TEST_P(ObjectStoreContract, DeletingTheLastObjectOfAFolderNeverFailsAWriterThere) {
  InThreads(4, [&](int i) {
    for (int k = 0; k < 25; ++k) {
      const std::string key = absl::StrCat("comes/and/goes/", i, "-", k);
      CAIRN_EXPECT_OK(PutObject(*store_, key, "x"));
      CAIRN_EXPECT_OK(store_->Delete(key));
    }
  });
  EXPECT_THAT(store_->List("", "", 10).value(), IsEmpty());
}

}  // namespace
}  // namespace cairn::testing
