#include "common/zip/zip_reader.h"

#include <string>
#include <thread>
#include <vector>

#include "common/io/memory_io.h"
#include "common/io/slice_source.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/zip_files.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Text(size_t size) {
  std::string text;
  for (size_t i = 0; text.size() < size; ++i) text += std::to_string(i * i);
  text.resize(size);
  return text;
}

std::unique_ptr<ZipReader> Open(std::string archive, const ZipLimits& limits = {}) {
  return ZipReader::Open(std::make_shared<MemorySource>(std::move(archive)), limits).value();
}

std::string ReadAll(const ByteSource& source, size_t piece) {
  std::string all(source.size(), '\0');
  for (size_t at = 0; at < all.size(); at += piece) {
    EXPECT_THAT(source.ReadAt(at, absl::MakeSpan(all).subspan(at, std::min(piece, all.size() - at))), IsOk());
  }
  return all;
}

TEST(ZipReader, ReadsStoredAndDeflatedEntriesAtAnyOffset) {
  const std::string text = Text(300'000);
  const auto reader = Open(HandmadeZip({{.name = "stored", .content = text}, DeflatedEntry("deflated", text)}));
  for (const size_t entry : {0u, 1u}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto source, reader->OpenEntry(entry));
    EXPECT_EQ(source->size(), text.size());
    for (const size_t piece : {999u, 65'536u, 300'000u}) EXPECT_TRUE(ReadAll(*source, piece) == text) << piece;
    // Forward over a gap, and back.
    for (const uint64_t at : {100'000u, 299'900u, 5u, 150'000u, 150'050u, 0u}) {
      std::string bytes(100, '\0');
      CAIRN_ASSERT_OK(source->ReadAt(at, absl::MakeSpan(bytes)));
      EXPECT_EQ(bytes, text.substr(at, 100)) << at;
    }
    std::string bytes(2, '\0');
    CAIRN_EXPECT_OK(source->ReadAt(text.size(), {}));
    EXPECT_THAT(source->ReadAt(text.size() - 1, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kOutOfRange));
    EXPECT_THAT(source->ReadAt(~uint64_t{0}, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kOutOfRange));
  }
}

TEST(ZipReader, AnEntryOutlivesItsReader) {
  auto reader = Open(HandmadeZip({{}}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto source, reader->OpenEntry(0));
  reader.reset();
  EXPECT_EQ(ReadAll(*source, 3), "content");
  EXPECT_THAT(source->name(), HasSubstr("entry \"a\""));
}

TEST(ZipReader, ReadsAnArchiveInsideALargerFile) {
  const std::string archive = HandmadeZip({{.name = "x", .content = "inner"}}, {.zip64 = true});
  const auto whole = std::make_shared<MemorySource>("before!" + archive + "behind");
  CAIRN_ASSERT_OK_AND_ASSIGN(std::shared_ptr<const ByteSource> slice, SliceSource::Create(whole, 7, archive.size()));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, ZipReader::Open(slice));
  EXPECT_EQ(reader->ReadEntry(0, 100).value(), "inner");
  EXPECT_THAT(ZipReader::Open(whole), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ZipReader, TakesWhatOtherToolsWrite) {
  const struct {
    const char* what;
    std::string archive;
  } archives[] = {
      {"a long comment", HandmadeZip({{}}, {.comment = std::string(0xffff, 'c')})},
      {"an end record in the comment",
       HandmadeZip({{}}, {.comment = std::string("PK\x05\x06") + std::string(40, '\xff')})},
      {"zip64 records of a small archive", HandmadeZip({{}}, {.zip64 = true})},
      {"all numbers left to zip64",
       HandmadeZip({{.size = ~0u,
                     .stored_size = ~0u,
                     .offset = ~0u,
                     .extra = Zip64Extra({7, 7, 0}),
                     .local_extra = Zip64Extra({7, 7})}},
                   {.here = 0xffff, .entries = 0xffff, .size = ~0u, .offset = ~0u, .zip64 = true})},
      {"other extra fields", HandmadeZip({{.extra = std::string("UT\x01\x00x\x75\x70\x00\x00", 9),
                                           .comment = "a comment",
                                           .local_extra = std::string("FB\x02\x00ZZ", 6)}})},
      {"a descriptor", HandmadeZip({{.flags = 8, .local_size = 0, .local_stored_size = 0, .local_crc = 0}})},
      {"a gap between entries", HandmadeZip({{.offset = 0}})},
  };
  for (const auto& [what, archive] : archives) {
    const auto reader = ZipReader::Open(std::make_shared<MemorySource>(archive));
    ASSERT_THAT(reader, IsOk()) << what;
    ASSERT_EQ((*reader)->entries().size(), 1u) << what;
    EXPECT_EQ((*reader)->ReadEntry(0, 100).value_or(""), "content") << what;
  }
  EXPECT_THAT(Open(HandmadeZip({}))->entries(), IsEmpty());
}

TEST(ZipReader, ComparesTheCrcOfStoredEntriesWhenAskedAndReadInOrder) {
  const std::string text = Text(10'000);
  const auto reader = Open(HandmadeZip({{.content = text, .crc = 77}, {.name = "none", .content = text, .crc = 0}}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto unchecked, reader->OpenEntry(0));
  EXPECT_TRUE(ReadAll(*unchecked, 1000) == text);

  CAIRN_ASSERT_OK_AND_ASSIGN(const auto checked, reader->OpenEntry(0, {.verify_crc = true}));
  std::string bytes(5000, '\0');
  CAIRN_EXPECT_OK(checked->ReadAt(5000, absl::MakeSpan(bytes)));  // Out of order: not compared.
  for (int round = 0; round < 2; ++round) {
    CAIRN_EXPECT_OK(checked->ReadAt(0, absl::MakeSpan(bytes)));
    EXPECT_THAT(checked->ReadAt(5000, absl::MakeSpan(bytes)),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("expected 0000004d")));
  }
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto none, reader->OpenEntry(1, {.verify_crc = true}));
  EXPECT_TRUE(ReadAll(*none, 1000) == text);
}

TEST(ZipReader, ADeflatedEntryIsReadAgainAfterAnError) {
  HandmadeZipEntry entry = DeflatedEntry("a", Text(100'000));
  entry.crc = 1;
  const auto reader = Open(HandmadeZip({entry}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto source, reader->OpenEntry(0));
  std::string bytes(100'000, '\0');
  EXPECT_THAT(source->ReadAt(0, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kDataLoss));
  CAIRN_EXPECT_OK(source->ReadAt(0, absl::MakeSpan(bytes).subspan(0, 99'999)));
  EXPECT_EQ(bytes, Text(100'000));
  EXPECT_THAT(source->ReadAt(99'999, absl::MakeSpan(bytes).subspan(0, 1)), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(ZipReader, SeveralThreadsReadOneEntry) {
  const std::string text = Text(200'000);
  const auto reader = Open(HandmadeZip({{.content = text}, DeflatedEntry("deflated", text)}));
  for (const size_t entry : {0u, 1u}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto source, reader->OpenEntry(entry, {.verify_crc = true}));
    std::vector<std::thread> threads;
    for (size_t number = 0; number < 4; ++number) {
      threads.emplace_back([&, number] { EXPECT_TRUE(ReadAll(*source, 50'000 + number) == text); });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST(ZipReader, ObeysItsLimits) {
  const std::string archive = HandmadeZip({{.name = "one"}, {.name = "other"}});
  const auto open = [&](ZipLimits limits) {
    return ZipReader::Open(std::make_shared<MemorySource>(archive), limits).status();
  };
  CAIRN_EXPECT_OK(open({.max_entries = 2, .max_directory_bytes = 100, .max_name_bytes = 5}));
  EXPECT_THAT(open({.max_entries = 1}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 1")));
  EXPECT_THAT(open({.max_directory_bytes = 99}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 99")));
  EXPECT_THAT(open({.max_name_bytes = 4}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 4")));
}

TEST(ZipReader, ContentAboveTheCallersLimitIsNotRead) {
  const auto reader = Open(HandmadeZip({DeflatedEntry("a", std::string(1'000'000, 'x'))}));
  EXPECT_THAT(reader->ReadEntry(0, 999'999),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("1000000 bytes")));
  EXPECT_EQ(reader->ReadEntry(0, 1'000'000).value().size(), 1'000'000u);
}

TEST(ZipReader, AnyByteChangedIsReadOrRefusedButNeverWorse) {
  const std::string whole =
      HandmadeZip({{.extra = Zip64Extra({})}, DeflatedEntry("b", Text(50))}, {.comment = "c", .zip64 = true});
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const char flip : {'\x01', '\x08', '\x20', '\x80', '\xff'}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ flip);
      (void)PeekZipNames(MemorySource(bytes));
      const auto reader = ZipReader::Open(std::make_shared<MemorySource>(std::move(bytes)));
      if (!reader.ok()) continue;
      for (size_t i = 0; i < (*reader)->entries().size(); ++i) (void)(*reader)->ReadEntry(i, 1 << 20);
    }
    EXPECT_FALSE(ZipReader::Open(std::make_shared<MemorySource>(whole.substr(0, at))).ok()) << at;
  }
}

TEST(ZipReader, PeeksAtTheFirstNames) {
  std::vector<HandmadeZipEntry> entries;
  for (int i = 0; i < 1000; ++i) entries.push_back({.name = "name" + std::to_string(i)});
  const MemorySource many(HandmadeZip(entries));
  EXPECT_TRUE(LooksLikeZip(many));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, PeekZipNames(many, 160));
  EXPECT_THAT(names, ElementsAre("name0", "name1", "name2"));
  EXPECT_EQ(PeekZipNames(many, 1 << 20).value().size(), 1000u);
  EXPECT_FALSE(PeekZipNames(MemorySource("PK\x03\x04")).ok());
  EXPECT_FALSE(LooksLikeZip(MemorySource("")));
  EXPECT_FALSE(LooksLikeZip(MemorySource(HandmadeZip({}))));
}

}  // namespace
}  // namespace cairn::testing
