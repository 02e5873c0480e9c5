#include "common/zip/zip_writer.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/io/memory_io.h"
#include "common/io/slice_source.h"
#include "common/zip/zip_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/zip/zip_test_io.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

class ZipWriterLayout : public ::testing::TestWithParam<ZipLayout> {
 protected:
  ZipWriterOptions options() const { return {.layout = GetParam()}; }
};

INSTANTIATE_TEST_SUITE_P(Layouts, ZipWriterLayout, ::testing::Values(ZipLayout::kPlain, ZipLayout::kTorch),
                         [](const auto& layout) { return layout.param == ZipLayout::kPlain ? "Plain" : "Torch"; });

TEST_P(ZipWriterLayout, WhatItWritesIsReadBack) {
  std::string archive;
  MemorySink sink(&archive);
  ZipWriter writer(&sink, options());
  const std::string names[] = {"a", "folder/b", "é中", std::string(1000, 'n')};
  for (const std::string& name : names) {
    CAIRN_ASSERT_OK(writer.StartEntry(name, 2 * name.size()));
    CAIRN_ASSERT_OK(writer.Append(name));
    CAIRN_ASSERT_OK(writer.Append(""));
    CAIRN_ASSERT_OK(writer.Append(name));
    CAIRN_ASSERT_OK(writer.FinishEntry());
  }
  CAIRN_ASSERT_OK(writer.AddEntry("empty", ""));
  CAIRN_ASSERT_OK(writer.Finish());
  CAIRN_ASSERT_OK(sink.Close());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, ZipReader::Open(std::make_shared<MemorySource>(archive)));
  ASSERT_EQ(reader->entries().size(), 5u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(reader->entries()[i].name, names[i]);
    EXPECT_NE(reader->entries()[i].crc, 0u);
    EXPECT_EQ(reader->ReadEntry(i, 4000).value(), names[i] + names[i]);
  }
  EXPECT_TRUE(reader->entries()[2].utf8);
  EXPECT_EQ(reader->ReadEntry(4, 0).value(), "");
}

TEST_P(ZipWriterLayout, AnArchiveBehindOtherBytesCountsFromItsOwnBegin) {
  std::string alone, file;
  MemorySink alone_sink(&alone), sink(&file);
  CAIRN_ASSERT_OK(sink.Append("odd"));
  for (MemorySink* const target : {&alone_sink, &sink}) {
    ZipWriter writer(target, options());
    CAIRN_ASSERT_OK(writer.AddEntry("x/data.pkl", "content"));
    CAIRN_ASSERT_OK(writer.Finish());
    CAIRN_ASSERT_OK(target->Close());
  }
  EXPECT_TRUE(file == "odd" + alone);
}

TEST_P(ZipWriterLayout, RefusesWhatNoReaderWouldTake) {
  std::string archive;
  MemorySink sink(&archive, "out.zip");
  ZipWriter writer(&sink, options());
  CAIRN_ASSERT_OK(writer.AddEntry("a", "x"));
  const auto refused = [&](absl::string_view name) { return writer.StartEntry(name, 0); };
  EXPECT_THAT(refused("a"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("two entries are named \"a\"")));
  EXPECT_THAT(refused(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("out.zip: the name is empty")));
  EXPECT_THAT(refused("/a"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is absolute")));
  EXPECT_THAT(refused("a/.."), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leaves its folder")));
  EXPECT_THAT(refused(absl::string_view("a\0b", 3)), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("NUL")));
  EXPECT_THAT(refused("\xff"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("UTF-8")));
  EXPECT_THAT(refused(std::string(70'000, 'n')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("70000 bytes")));
}

TEST_P(ZipWriterLayout, RefusesAnEntryOfTheWrongLengthAndCallsOutOfOrder) {
  std::string archive;
  MemorySink sink(&archive);
  ZipWriter writer(&sink, options());
  EXPECT_THAT(writer.Append("x"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(writer.FinishEntry(), StatusIs(absl::StatusCode::kFailedPrecondition));
  CAIRN_ASSERT_OK(writer.StartEntry("a", 3));
  EXPECT_THAT(writer.Finish(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(writer.StartEntry("b", 3), StatusIs(absl::StatusCode::kFailedPrecondition));
  CAIRN_ASSERT_OK(writer.Append("ab"));
  EXPECT_THAT(writer.FinishEntry(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 of 3 bytes are missing")));
  EXPECT_THAT(writer.Append("cd"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 bytes more than its 3")));
}

TEST_P(ZipWriterLayout, EntriesAndOffsetsBeyondFourGigabytesAreReadBack) {
  constexpr uint64_t kLarge = (uint64_t{1} << 32) + 5;
  SinkWithHole sink;
  ZipWriter writer(&sink, options());
  CAIRN_ASSERT_OK(writer.AddEntry("first", "1"));
  CAIRN_ASSERT_OK(writer.StartEntry("large", kLarge));
  const uint64_t hole = writer.offset();
  const std::string zeros(1 << 20, '\0');
  uint64_t in_hole = 0;
  for (uint64_t rest = kLarge; rest > 0;) {
    const uint64_t size = std::min<uint64_t>(rest, zeros.size());
    CAIRN_ASSERT_OK(writer.Append(absl::string_view(zeros).substr(0, size)));
    if (size == zeros.size()) in_hole += size;
    rest -= size;
  }
  CAIRN_ASSERT_OK(writer.FinishEntry());
  CAIRN_ASSERT_OK(writer.AddEntry("far", "content"));
  CAIRN_ASSERT_OK(writer.Finish());
  const auto source = std::make_shared<SourceWithHole>(sink.kept(), hole, in_hole);
  ASSERT_EQ(source->size(), sink.size());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, ZipReader::Open(source));
  ASSERT_EQ(reader->entries().size(), 3u);
  EXPECT_EQ(reader->entries()[1].size, kLarge);
  EXPECT_EQ(reader->DataOffset(1).value(), hole);
  EXPECT_EQ(reader->ReadEntry(2, 100).value(), "content");
  EXPECT_EQ(reader->ReadEntry(0, 100).value(), "1");
}

TEST_P(ZipWriterLayout, MoreEntriesThanSixteenBitsCount) {
  std::string archive;
  MemorySink sink(&archive);
  ZipWriter writer(&sink, options());
  for (int i = 0; i < 65'537; ++i) CAIRN_ASSERT_OK(writer.AddEntry(absl::StrCat("data/", i), "x"));
  CAIRN_ASSERT_OK(writer.Finish());
  CAIRN_ASSERT_OK(sink.Close());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, ZipReader::Open(std::make_shared<MemorySource>(std::move(archive))));
  EXPECT_EQ(reader->entries().size(), 65'537u);
  EXPECT_EQ(reader->ReadEntry(reader->Find("data/65536").value(), 10).value(), "x");
}

TEST(ZipWriter, AlignsTheContentAsAsked) {
  for (const uint64_t alignment : {1u, 64u, 512u, 4096u}) {
    std::string archive;
    MemorySink sink(&archive);
    ZipWriter writer(&sink, {.layout = ZipLayout::kTorch, .alignment = alignment});
    for (int i = 0; i < 5; ++i) {
      CAIRN_ASSERT_OK(writer.StartEntry(absl::StrCat("data/", std::string(static_cast<size_t>(i), 'n')), 3));
      EXPECT_EQ(writer.offset() % alignment, 0u);
      CAIRN_ASSERT_OK(writer.Append("abc"));
      CAIRN_ASSERT_OK(writer.FinishEntry());
    }
    CAIRN_ASSERT_OK(writer.Finish());
  }
}

TEST(ZipWriter, TheSameEntriesGiveTheSameBytes) {
  std::string archives[2];
  for (std::string& archive : archives) {
    MemorySink sink(&archive);
    ZipWriter writer(&sink);
    CAIRN_ASSERT_OK(writer.AddEntry("a", "content"));
    CAIRN_ASSERT_OK(writer.Finish());
    CAIRN_ASSERT_OK(sink.Close());
  }
  EXPECT_EQ(archives[0], archives[1]);
}

}  // namespace
}  // namespace cairn::testing
