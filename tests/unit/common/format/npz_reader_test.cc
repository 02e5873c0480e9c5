#include <string>

#include "absl/strings/str_cat.h"
#include "common/format/npz/npy_header.h"
#include "common/format/npz/npy_literal.h"
#include "common/io/memory_io.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/npz_attacks.h"
#include "tests/attacks/zip_files.h"
#include "tests/unit/common/format/npz_files.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Array(absl::string_view descr, bool fortran_order, absl::string_view shape, absl::string_view data) {
  return NpyFile(absl::StrCat("{'descr': '", descr, "', 'fortran_order': ", fortran_order ? "True" : "False",
                              ", 'shape': ", shape, ", }\n"),
                 data);
}

TEST(NpyLiteral, TakesWhatWritersHaveWritten) {
  const struct {
    const char* text;
    std::vector<uint64_t> shape;
  } good[] = {
      {"{'descr': '<f4', 'fortran_order': True, 'shape': (), }      \n", {}},
      {"{'shape':(3,),'fortran_order':True,'descr':'<f4'}", {3}},
      {"{\"descr\": \"<f4\", \"fortran_order\": True, \"shape\": (2, 3)}", {2, 3}},
      {" { 'descr' : '<f4' , 'fortran_order' : True , 'shape' : ( 2 , 3 , ) , } ", {2, 3}},
      {"{'descr': '<f4', 'fortran_order': True, 'shape': (3L, 0L), }", {3, 0}},
  };
  for (const auto& [text, shape] : good) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const NpyLiteral literal, ParseNpyLiteral(text, true));
    EXPECT_EQ(literal.descr, "<f4") << text;
    EXPECT_TRUE(literal.fortran_order) << text;
    EXPECT_EQ(literal.shape, shape) << text;
  }
  EXPECT_THAT(ParseNpyLiteral(good[4].text, false), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(NpyHeader, IsWrittenAsNumPyWritesIt) {
  const struct {
    Shape shape;
    std::string text;
  } expected[] = {
      {{}, "{'descr': '<f4', 'fortran_order': False, 'shape': (), }"},
      {{3}, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"},
      {{2, 0}, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0), }"},
  };
  for (const auto& [shape, text] : expected) {
    const std::string header = SerializeNpyHeader(Dtype::kFloat32, shape);
    EXPECT_EQ(header.size(), 128u);
    EXPECT_EQ(header.substr(0, 10), std::string("\x93NUMPY\x01\x00\x76\x00", 10));
    EXPECT_EQ(header.substr(10, text.size()), text);
    EXPECT_EQ(header.back(), '\n');
  }
  const Shape many(32, int64_t{1} << 40);
  EXPECT_EQ(SerializeNpyHeader(Dtype::kInt8, many).size() % 64, 0u);
  CAIRN_ASSERT_OK_AND_ASSIGN(const NpyHeader read,
                             ReadNpyHeader(MemorySource(SerializeNpyHeader(Dtype::kComplex128, Shape(32, 0)))));
  EXPECT_EQ(read.shape, Shape(32, 0));
  EXPECT_EQ(read.dtype, Dtype::kComplex128);
}

TEST(NpzReader, SwapsAndTransposesAnyRangeOfBytes) {
  std::string c_order, big_fortran;
  for (int i = 0; i < 12; ++i) {
    for (int byte = 0; byte < 4; ++byte) c_order.push_back(static_cast<char>(i * 4 + byte));
  }
  for (int column = 0; column < 4; ++column) {
    for (int row = 0; row < 3; ++row) {
      for (int byte = 3; byte >= 0; --byte)
        big_fortran.push_back(c_order[static_cast<size_t>((row * 4 + column) * 4 + byte)]);
    }
  }
  const std::string file = Array(">i4", true, "(3, 4)", big_fortran);
  for (const std::string& archive : {NpzOf(file), HandmadeZip({DeflatedEntry("a.npy", file)})}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, NpzFormat().Open(MemorySourceTree(archive), {}));
    for (size_t at = 0; at <= c_order.size(); ++at) {
      for (size_t size = 0; size <= c_order.size() - at; ++size) {
        std::string bytes(size, '?');
        CAIRN_ASSERT_OK(reader->ReadAt(0, at, absl::MakeSpan(bytes)));
        ASSERT_EQ(bytes, c_order.substr(at, size)) << at << "+" << size;
      }
    }
  }
}

TEST(NpzReader, TakesOddByteOrderMarks) {
  for (const char* descr : {"|i2", "=i2", "<i2"}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const NpzContent read,
                               ReadNpz(MemorySourceTree(NpzOf(Array(descr, false, "(1,)", "ab")))));
    EXPECT_THAT(read.bytes, ElementsAre("ab")) << descr;
  }
  CAIRN_ASSERT_OK_AND_ASSIGN(const NpzContent read,
                             ReadNpz(MemorySourceTree(NpzOf(Array(">u1", false, "(2,)", "ab")))));
  EXPECT_THAT(read.bytes, ElementsAre("ab"));
}

TEST(NpzReader, SkipsFoldersAndKeepsTheOrderOfTheArchive) {
  const std::string array = Array("|u1", false, "(1,)", "x");
  const std::string archive = HandmadeZip(
      {{.name = "b/", .content = ""}, {.name = "b/z.npy", .content = array}, {.name = "a.npy", .content = array}});
  EXPECT_TRUE(NpzFormat().Detect(*MemorySourceTree(archive)));
  EXPECT_FALSE(NpzFormat().Detect(*MemorySourceTree(HandmadeZip({{.name = "b/", .content = ""}}))));
  CAIRN_ASSERT_OK_AND_ASSIGN(const NpzContent read, ReadNpz(MemorySourceTree(archive)));
  ASSERT_EQ(read.index.entries.size(), 2u);
  EXPECT_EQ(read.index.entries[0].path, KeyPath::Of({"b/z"}));
  EXPECT_EQ(read.index.entries[1].path, KeyPath::Of({"a"}));
}

TEST(NpzReader, ADamagedArrayShowsWhenItsLastByteIsRead) {
  const std::string archive =
      HandmadeZip({{.name = "a.npy", .content = Array("|u1", false, "(1000,)", std::string(1000, 'x')), .crc = 1}});
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, NpzFormat().Open(MemorySourceTree(archive), {}));
  std::string bytes(1000, '\0');
  CAIRN_EXPECT_OK(reader->ReadAt(0, 0, absl::MakeSpan(bytes).subspan(0, 999)));
  EXPECT_THAT(reader->ReadAt(0, 999, absl::MakeSpan(bytes).subspan(0, 1)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("entry \"a.npy\"")));
}

TEST(NpzReader, ObeysTheLimitOnValues) {
  const std::string archive = NpzOf(Array("|S5", false, "()", "abcde"));
  CAIRN_EXPECT_OK(ReadNpz(MemorySourceTree(archive), 1, {.max_value_bytes = 5}));
  EXPECT_THAT(ReadNpz(MemorySourceTree(archive), 1, {.max_value_bytes = 4}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit of 4")));
  CAIRN_ASSERT_OK_AND_ASSIGN(const NpzContent read, ReadNpz(MemorySourceTree(NpzOf(Array("<U0", false, "()", "")))));
  EXPECT_THAT(read.index.entries[0].value->text, IsEmpty());
}

TEST(NpzReader, ObeysTheLimitOnAllValuesTogether) {
  const std::string archive = NpzOf(Array("|S400", false, "()", std::string(400, 'a')));
  // Names and extents are in the same directory of the archive.
  CAIRN_EXPECT_OK(ReadNpz(MemorySourceTree(archive), 1, {.max_header_bytes = 400}));
  EXPECT_THAT(ReadNpz(MemorySourceTree(archive), 1, {.max_header_bytes = 399}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("texts of more than the limit of 399 bytes")));
}

}  // namespace
}  // namespace cairn::testing
