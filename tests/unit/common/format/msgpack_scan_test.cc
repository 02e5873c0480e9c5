#include "common/format/flax_msgpack/msgpack_scan.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "common/io/memory_io.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Type = MsgpackToken::Type;
using std::string_literals::operator""s;

// Counts what is asked of it, and has more bytes than memory would hold.
class SparseSource final : public ByteSource {
 public:
  SparseSource(std::string head, uint64_t size) : head_(std::move(head)), size_(size) {}
  uint64_t size() const override { return size_; }
  const std::string& name() const override { return name_; }
  absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const override {
    ++reads_;
    bytes_ += dst.size();
    for (size_t i = 0; i < dst.size(); ++i) dst[i] = offset + i < head_.size() ? head_[offset + i] : '\x05';
    return absl::OkStatus();
  }
  int reads() const { return reads_; }
  uint64_t bytes() const { return bytes_; }

 private:
  const std::string head_;
  const uint64_t size_;
  const std::string name_ = "sparse";
  mutable int reads_ = 0;
  mutable uint64_t bytes_ = 0;
};

MsgpackToken Scanned(const std::string& bytes) {
  MemorySource source(bytes);
  MsgpackScanner scanner(source);
  const absl::StatusOr<MsgpackToken> token = scanner.Next();
  EXPECT_THAT(token, IsOk());
  return token.ok() ? *token : MsgpackToken();
}

TEST(MsgpackScan, ReadsIntegersOfEveryWidth) {
  const std::pair<std::string, uint64_t> unsigned_cases[] = {
      {"\0"s, 0},
      {"\x7f", 127},
      {"\xcc\xff", 255},
      {"\xcd\x01\0"s, 256},
      {"\xce\xff\xff\xff\xff", 4294967295},
      {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", std::numeric_limits<uint64_t>::max()},
      {"\xd0\x05", 5},
      {"\xd3\x7f\xff\xff\xff\xff\xff\xff\xff", std::numeric_limits<int64_t>::max()},
  };
  for (const auto& [bytes, number] : unsigned_cases) {
    EXPECT_EQ(Scanned(bytes).type, Type::kUint);
    EXPECT_EQ(Scanned(bytes).number, number);
  }
  const std::pair<std::string, int64_t> negative_cases[] = {
      {"\xff", -1},
      {"\xe0", -32},
      {"\xd0\x80", -128},
      {"\xd1\x80\0"s, -32768},
      {"\xd2\x80\0\0\0"s, -2147483648},
      {"\xd3\x80\0\0\0\0\0\0\0"s, std::numeric_limits<int64_t>::min()},
  };
  for (const auto& [bytes, number] : negative_cases) {
    EXPECT_EQ(Scanned(bytes).type, Type::kNegative);
    EXPECT_EQ(Scanned(bytes).negative, number);
  }
}

TEST(MsgpackScan, ReadsPlainValues) {
  EXPECT_EQ(Scanned("\xc0").type, Type::kNil);
  EXPECT_TRUE(Scanned("\xc3").boolean);
  EXPECT_FALSE(Scanned("\xc2").boolean);
  EXPECT_EQ(Scanned("\xca\x3f\xc0\0\0"s).real, 1.5);
  EXPECT_EQ(Scanned("\xcb\xc0\x04\0\0\0\0\0\0"s).real, -2.5);
}

TEST(MsgpackScan, ReadsLengthsOfEveryWidth) {
  const struct {
    std::string header;
    Type type;
    uint64_t length;
  } cases[] = {
      {"\xa3", Type::kStr, 3},
      {"\xbf", Type::kStr, 31},
      {"\xd9\xff", Type::kStr, 255},
      {"\xda\x01\x02", Type::kStr, 258},
      {"\xdb\0\x01\0\0"s, Type::kStr, 65536},
      {"\xc4\x03", Type::kBin, 3},
      {"\xc5\x01\0"s, Type::kBin, 256},
      {"\xc6\0\x01\0\0"s, Type::kBin, 65536},
      {"\x9f", Type::kArray, 15},
      {"\xdc\x01\0"s, Type::kArray, 256},
      {"\xdd\0\x01\0\0"s, Type::kArray, 65536},
      {"\x8f", Type::kMap, 15},
      {"\xde\x01\0"s, Type::kMap, 256},
      {"\xdf\0\x01\0\0"s, Type::kMap, 65536},
      {"\xd4\x09", Type::kExt, 1},
      {"\xd5\x09", Type::kExt, 2},
      {"\xd6\x09", Type::kExt, 4},
      {"\xd7\x09", Type::kExt, 8},
      {"\xd8\x09", Type::kExt, 16},
      {"\xc7\x03\x09", Type::kExt, 3},
      {"\xc8\x01\0\x09"s, Type::kExt, 256},
      {"\xc9\0\x01\0\0\x09"s, Type::kExt, 65536},
  };
  for (const auto& test : cases) {
    const MsgpackToken token = Scanned(test.header + std::string(2 * test.length, '\0'));
    EXPECT_EQ(token.type, test.type);
    EXPECT_EQ(token.length, test.length);
    EXPECT_EQ(token.ext_type, test.type == Type::kExt ? 9 : 0);
  }
}

TEST(MsgpackScan, RefusesALengthThatLeavesTheBytes) {
  for (const std::string& header : {"\xa3"s, "\xc6\xff\xff\xff\xff"s, "\xdd\xff\xff\xff\xff"s, "\xc9\xff\xff\xff\xff\x01"s}) {
    MemorySource source(header + "xx");
    MsgpackScanner scanner(source);
    EXPECT_THAT(scanner.Next(), StatusIs(absl::StatusCode::kOutOfRange, StartsWith("offset 0: ")));
  }
  // Every pair of a map takes two bytes at least.
  MemorySource source("\x82\x01\x01\x01");
  MsgpackScanner scanner(source);
  EXPECT_THAT(scanner.Next(), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("map of 2 pairs")));
}

TEST(MsgpackScan, RefusesAHeaderThatIsCut) {
  for (const std::string& header : {""s, "\xcf\x01"s, "\xc6\0\0"s, "\xc7\0"s, "\xcb\0"s}) {
    MemorySource source(header);
    MsgpackScanner scanner(source);
    EXPECT_THAT(scanner.Next(), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("the bytes end")));
  }
}

TEST(MsgpackScan, StopsAtTheEndThatItIsGiven) {
  MemorySource source("\x01\x02\xc4\x02xy");
  MsgpackScanner scanner(source);
  EXPECT_EQ(scanner.SetEnd(1), 6u);
  CAIRN_EXPECT_OK(scanner.Next());
  EXPECT_TRUE(scanner.AtEnd());
  EXPECT_THAT(scanner.Next(), StatusIs(absl::StatusCode::kOutOfRange));
  scanner.SetEnd(5);
  CAIRN_EXPECT_OK(scanner.Next());
  EXPECT_THAT(scanner.Next(), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("bin of 2 bytes")));
}

TEST(MsgpackScan, PassesOverAPayloadWithoutReadingIt) {
  const std::string head = "\xc6\xff\xff\xff\xff"s;
  SparseSource source(head, 5 + 0xffffffffull + 1);
  MsgpackScanner scanner(source);
  CAIRN_ASSERT_OK_AND_ASSIGN(const MsgpackToken token, scanner.Next());
  CAIRN_ASSERT_OK(scanner.Skip(token.length));
  CAIRN_ASSERT_OK_AND_ASSIGN(const MsgpackToken next, scanner.Next());
  EXPECT_EQ(next.number, 5u);
  EXPECT_TRUE(scanner.AtEnd());
  EXPECT_LE(source.reads(), 2);
  EXPECT_LE(source.bytes(), 2 * MsgpackScanner::kMinWindowBytes);
}

TEST(MsgpackScan, ReadsManySmallItemsInLargeWindows) {
  const uint64_t items = 10 << 20;
  SparseSource source("", items);
  MsgpackScanner scanner(source);
  for (uint64_t i = 0; i < items; ++i) ASSERT_TRUE(scanner.Next().ok());
  EXPECT_TRUE(scanner.AtEnd());
  EXPECT_LE(source.reads(), 20);
  EXPECT_EQ(source.bytes(), items);
}

TEST(MsgpackScan, ReadsTextsAcrossWindows) {
  const std::string text(3 * MsgpackScanner::kMinWindowBytes, 't');
  MemorySource source(absl::StrCat("\xda\x30\0"s, text, "\x07"));
  MsgpackScanner scanner(source, MsgpackScanner::kMinWindowBytes);
  CAIRN_ASSERT_OK_AND_ASSIGN(const MsgpackToken token, scanner.Next());
  std::string read;
  CAIRN_ASSERT_OK(scanner.Read(token.length, &read));
  EXPECT_EQ(read, text);
  CAIRN_ASSERT_OK_AND_ASSIGN(const MsgpackToken next, scanner.Next());
  EXPECT_EQ(next.number, 7u);
  CAIRN_EXPECT_OK(scanner.Read(0, &read));
  EXPECT_THAT(scanner.Read(1, &read), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(scanner.Skip(1), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST(MsgpackScan, PassesOverWholeValues) {
  MemorySource source("\x93\x01\x82\xa1x\x90\x02\xc4\x02yz\xd4\x01w\x2a");
  MsgpackScanner scanner(source);
  CAIRN_ASSERT_OK(scanner.SkipValue(3));
  CAIRN_ASSERT_OK_AND_ASSIGN(const MsgpackToken next, scanner.Next());
  EXPECT_EQ(next.number, 42u);
  scanner.Seek(0);
  EXPECT_THAT(scanner.SkipValue(1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("offset 2: ")));
}

}  // namespace
}  // namespace cairn::testing
