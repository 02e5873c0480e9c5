// Files of the real NumPy (tests/golden/make_npz_golden.py).

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/io/posix_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/format/npz_files.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Golden(const std::string& name) { return std::string(CAIRN_SOURCE_DIR "/tests/golden/npz/") + name; }

absl::StatusOr<NpzContent> ReadGolden(const std::string& name, size_t piece = 1 << 20) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> tree, OpenSourceTree(Golden(name)));
  return ReadNpz(std::move(tree), piece);
}

// The bytes of the generator's array number `number`.
std::string Pattern(size_t number, size_t size, bool boolean = false) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i * 37 + number) & (boolean ? 1 : 255));
  return bytes;
}

// In the order of the generator's table, which numbers the patterns.
constexpr Dtype kDtypes[] = {Dtype::kBool,    Dtype::kInt8,    Dtype::kInt16,     Dtype::kInt32,     Dtype::kInt64,
                             Dtype::kUint8,   Dtype::kUint16,  Dtype::kUint32,    Dtype::kUint64,    Dtype::kFloat16,
                             Dtype::kFloat32, Dtype::kFloat64, Dtype::kComplex64, Dtype::kComplex128};

TEST(NpzGolden, ReadsEveryDtypeInEveryOrder) {
  for (const char* name : {"dtypes.npz", "compressed.npz", "big_endian.npz", "fortran.npz"}) {
    for (const size_t piece : {1u << 20, 5u, 1u}) {
      CAIRN_ASSERT_OK_AND_ASSIGN(const NpzContent read, ReadGolden(name, piece));
      ASSERT_EQ(read.index.entries.size(), std::size(kDtypes)) << name;
      for (size_t i = 0; i < std::size(kDtypes); ++i) {
        const Entry& entry = read.index.entries[i];
        EXPECT_EQ(entry.path, KeyPath::Of({std::string(DtypeName(kDtypes[i]))})) << name;
        EXPECT_EQ(entry.dtype, kDtypes[i]) << name;
        EXPECT_EQ(entry.shape, (Shape{3, 4})) << name;
        EXPECT_TRUE(read.bytes[i] == Pattern(i, entry.byte_size, kDtypes[i] == Dtype::kBool))
            << name << " " << DtypeName(kDtypes[i]) << " " << piece;
      }
    }
  }
}

TEST(NpzGolden, ReadsAnArrayThatIsStoredColumnByColumnAndCompressed) {
  for (const size_t piece : {1u << 20, 7u}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const NpzContent read, ReadGolden("fortran_compressed.npz", piece));
    ASSERT_EQ(read.index.entries.size(), 1u);
    EXPECT_EQ(read.index.entries[0].shape, (Shape{5, 6, 7}));
    EXPECT_TRUE(read.bytes[0] == Pattern(0, 840)) << piece;
  }
}

TEST(NpzGolden, ReadsShapesAndNames) {
  const struct {
    std::string name;
    Dtype dtype;
    Shape shape;
  } expected[] = {
      {"scalar", Dtype::kFloat32, {}},
      {"empty", Dtype::kFloat32, {0}},
      {"empty rows", Dtype::kInt8, {3, 0}},
      {"ones", Dtype::kFloat16, {1, 1, 1, 1, 1, 1, 1, 1}},
      {"a/b.c", Dtype::kUint8, {5}},
      {"é中", Dtype::kUint8, {1}},
      {"", Dtype::kInt16, {2}},
  };
  CAIRN_ASSERT_OK_AND_ASSIGN(const NpzContent read, ReadGolden("shapes.npz"));
  ASSERT_EQ(read.index.entries.size(), std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(read.index.entries[i].path, KeyPath::Of({expected[i].name}));
    EXPECT_EQ(read.index.entries[i].dtype, expected[i].dtype) << expected[i].name;
    EXPECT_EQ(read.index.entries[i].shape, expected[i].shape) << expected[i].name;
    EXPECT_TRUE(read.bytes[i] == Pattern(i, read.bytes[i].size())) << expected[i].name;
  }
}

TEST(NpzGolden, TextsWithoutDimensionsAreValues) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const NpzContent read, ReadGolden("texts.npz"));
  ASSERT_EQ(read.index.entries.size(), 4u);
  const Value expected[] = {Value::String("aé中🙂"), Value::String(""), Value::Bytes(std::string("\x00\xff", 2)),
                            Value::String("big")};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(read.index.entries[i].kind, EntryKind::kValue);
    EXPECT_TRUE(read.index.entries[i].value == expected[i]) << ValueToString(read.index.entries[i].value);
  }
}

TEST(NpzGolden, ReadsLaterVersionsOfTheHeader) {
  for (const char* name : {"version_2.npz", "version_3.npz"}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const NpzContent read, ReadGolden(name));
    ASSERT_EQ(read.index.entries.size(), 2u) << name;
    EXPECT_EQ(read.index.entries[0].shape, (Shape{2, 3})) << name;
    EXPECT_TRUE(read.bytes[0] == Pattern(0, 24)) << name;
    EXPECT_TRUE(read.bytes[1] == Pattern(1, 8)) << name;
  }
}

TEST(NpzGolden, AnEmptyArchiveHasNoEntriesAndIsNotDetected) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const NpzContent read, ReadGolden("empty.npz"));
  EXPECT_TRUE(read.index.entries.empty());
  EXPECT_FALSE(NpzFormat().Detect(*OpenSourceTree(Golden("empty.npz")).value()));
}

TEST(NpzGolden, RefusesByNameWhatIsNoTensor) {
  for (const char* name :
       {"object", "structured", "bfloat16", "float8_e4m3fn", "float8_e5m2", "dates", "longdouble", "texts"}) {
    const auto read = ReadGolden(absl::StrCat("refused_", name, ".npz"));
    EXPECT_THAT(read, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(absl::StrCat("entry \"", name, ".npy\""))))
        << name;
  }
  EXPECT_THAT(ReadGolden("refused_bfloat16.npz"),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("<V2"), HasSubstr("bfloat16"))));
  EXPECT_THAT(ReadGolden("refused_object.npz"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pickle")));
}

TEST(NpzGolden, DetectsNpzAndNoOtherArchive) {
  EXPECT_TRUE(NpzFormat().Detect(*OpenSourceTree(Golden("dtypes.npz")).value()));
  EXPECT_TRUE(NpzFormat().Detect(*OpenSourceTree(Golden("shapes.npz")).value()));
  for (const char* name : {"../zip/torch.pt", "../zip/stored.zip", "versions.txt"}) {
    EXPECT_FALSE(NpzFormat().Detect(*OpenSourceTree(Golden(name)).value())) << name;
  }
  EXPECT_FALSE(NpzFormat().Detect(*OpenSourceTree(Golden("")).value()));
}

}  // namespace
}  // namespace cairn::testing
