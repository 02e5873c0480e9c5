#include "common/format/flax_msgpack/flax_leaf.h"

#include <cmath>
#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/io/memory_io.h"
#include "tests/attacks/flax_leaf_attacks.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;
using std::string_literals::operator""s;

absl::StatusOr<FlaxLeaf> Scan(const std::string& bytes, const ReadLimits& limits = {}) {
  MemorySource source(bytes);
  MsgpackScanner scanner(source);
  FlaxBudget budget(limits);
  absl::StatusOr<FlaxLeaf> leaf = ScanFlaxLeaf(scanner, limits, budget);
  EXPECT_TRUE(!leaf.ok() || scanner.AtEnd());
  return leaf;
}

absl::StatusOr<Value> ScanValue(const std::string& bytes, const ReadLimits& limits = {}) {
  CAIRN_ASSIGN_OR_RETURN(FlaxLeaf leaf, Scan(bytes, limits));
  return std::get<Value>(leaf);
}

Value List(std::vector<Value> items) {
  Value list;
  list.kind = Value::Kind::kList;
  list.items = std::move(items);
  return list;
}

Value Dict(std::vector<std::pair<Value, Value>> pairs) {
  Value dict;
  dict.kind = Value::Kind::kDict;
  dict.pairs = std::move(pairs);
  return dict;
}

Value BigInt(std::string digits) {
  Value big;
  big.kind = Value::Kind::kBigInt;
  big.text = std::move(digits);
  return big;
}

TEST(FlaxLeaf, ReadsAnArrayWhereItsBytesAre) {
  const std::string bytes = PackedArray("bfloat16", {2, 3}, "abcdefghijkl");
  CAIRN_ASSERT_OK_AND_ASSIGN(const FlaxLeaf leaf, Scan(bytes));
  const FlaxArray& array = std::get<FlaxArray>(leaf);
  EXPECT_EQ(array.dtype, Dtype::kBfloat16);
  EXPECT_EQ(array.shape, (Shape{2, 3}));
  EXPECT_EQ(array.byte_size, 12u);
  ASSERT_EQ(array.pieces.size(), 1u);
  EXPECT_EQ(bytes.substr(array.pieces[0].offset, array.pieces[0].length), "abcdefghijkl");
}

// msgpack before 1.0 knew no bin, and wrote texts and bytes as raw strings of 5, 16 and 32 bits.
TEST(FlaxLeaf, ReadsTheRawStringsOfOldMsgpack) {
  const std::string name = "\xa7"s + "float32";
  for (const std::string& payload : {"\xa4"s, "\xd9\x04"s, "\xda\0\x04"s, "\xdb\0\0\0\x04"s, "\xc4\x04"s, "\xc5\0\x04"s}) {
    for (const std::string& dtype : {name, "\xda\0\x07"s + "float32", "\xc4\x07"s + "float32"}) {
      CAIRN_ASSERT_OK_AND_ASSIGN(const FlaxLeaf leaf,
                                 Scan(PackedExt(1, absl::StrCat("\x93\x91\x01", dtype, payload, "\xff\xfe\xfd\xfc"))));
      EXPECT_EQ(std::get<FlaxArray>(leaf).dtype, Dtype::kFloat32);
      EXPECT_EQ(std::get<FlaxArray>(leaf).byte_size, 4u);
    }
  }
}

TEST(FlaxLeaf, ReadsANumpyScalarAsAnArrayWithoutDimensions) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const FlaxLeaf leaf, Scan("\xd8\x03\x93\x90\xa7" "float32\xc4\x04\0\0@@"s));
  EXPECT_EQ(std::get<FlaxArray>(leaf).shape, Shape());
  EXPECT_EQ(std::get<FlaxArray>(leaf).byte_size, 4u);
}

TEST(FlaxLeaf, WritesTheHeadersOfNumpy) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const FlaxArrayLayout scalar, LayOutFlaxArray(Dtype::kFloat64, {}));
  ASSERT_EQ(scalar.parts.size(), 1u);
  EXPECT_EQ(scalar.parts[0].header, "\xc7\x14\x01\x93\x90\xa7" "float64\xc4\x08");
  EXPECT_EQ(scalar.total_bytes, 23u);
  CAIRN_ASSERT_OK_AND_ASSIGN(const FlaxArrayLayout empty, LayOutFlaxArray(Dtype::kFloat64, {2, 0, 3}));
  EXPECT_EQ(empty.parts[0].header, "\xc7\x0f\x01\x93\x93\x02\0\x03\xa7" "float64\xc4\0"s);
}

TEST(FlaxLeaf, WritesANumpyScalarAsAnExtOfItsOwn) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const FlaxArrayLayout layout, LayOutFlaxScalar(Dtype::kFloat32));
  ASSERT_EQ(layout.parts.size(), 1u);
  // What np.float32(1.5) is in tests/golden/flax/native, but for its payload.
  EXPECT_EQ(absl::BytesToHexString(layout.parts[0].header), "d80393" "90" "a7666c6f61743332" "c404");
  EXPECT_EQ(layout.total_bytes, layout.parts[0].header.size() + 4);
  EXPECT_THAT(LayOutFlaxScalar(Dtype::kF4Packed), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(FlaxLeaf, LaysOutWhatItReads) {
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{1}, Shape{300}, Shape{2, 70000}, Shape{1, 2, 3, 4, 5}}) {
    for (const uint64_t max_chunk_bytes : {uint64_t{3}, uint64_t{1000}, kFlaxMaxChunkBytes}) {
      CAIRN_ASSERT_OK_AND_ASSIGN(const FlaxArrayLayout layout, LayOutFlaxArray(Dtype::kInt16, shape, max_chunk_bytes));
      std::string bytes;
      for (const FlaxArrayLayout::Part& part : layout.parts) {
        bytes += part.header;
        bytes.append(part.payload_bytes, 'p');
      }
      EXPECT_EQ(bytes.size(), layout.total_bytes);
      CAIRN_ASSERT_OK_AND_ASSIGN(const FlaxLeaf leaf, Scan(bytes));
      const FlaxArray& array = std::get<FlaxArray>(leaf);
      EXPECT_EQ(array.shape, shape);
      EXPECT_EQ(array.pieces.size(), layout.parts.size());
      for (const FlaxPiece& piece : array.pieces) {
        EXPECT_EQ(bytes.substr(piece.offset, piece.length), std::string(piece.length, 'p'));
      }
    }
  }
}

TEST(FlaxLeaf, CutsAnArrayAboveTwoToTheThirtyBytes) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const FlaxArrayLayout whole, LayOutFlaxArray(Dtype::kFloat32, {1 << 28}));
  EXPECT_EQ(whole.parts.size(), 1u);
  CAIRN_ASSERT_OK_AND_ASSIGN(const FlaxArrayLayout cut, LayOutFlaxArray(Dtype::kFloat32, {1 << 15, (1 << 14) + 1}));
  ASSERT_EQ(cut.parts.size(), 3u);
  EXPECT_EQ(cut.parts[0].payload_bytes, kFlaxMaxChunkBytes);
  EXPECT_EQ(cut.parts[1].payload_bytes, kFlaxMaxChunkBytes);
  EXPECT_EQ(cut.parts[2].payload_bytes, uint64_t{4} << 15);
}

TEST(FlaxLeaf, ReadsChunksInAnyOrder) {
  const std::string chunks = absl::StrCat(PackedStr("chunks"), "\x82", PackedStr("1"), PackedArray("uint8", {1}, "c"),
                                          PackedStr("0"), PackedArray("uint8", {2}, "ab"));
  const std::string shape = absl::StrCat(PackedStr("shape"), "\x82", PackedStr("1"), "\x03", PackedStr("0"), "\x01");
  const std::string bytes = absl::StrCat("\x83", chunks, shape, "\xb9__msgpack_chunked_array__\xc3");
  CAIRN_ASSERT_OK_AND_ASSIGN(const FlaxLeaf leaf, Scan(bytes));
  const FlaxArray& array = std::get<FlaxArray>(leaf);
  EXPECT_EQ(array.shape, (Shape{1, 3}));
  ASSERT_EQ(array.pieces.size(), 2u);
  EXPECT_EQ(bytes.substr(array.pieces[0].offset, 2), "ab");
  EXPECT_EQ(bytes.substr(array.pieces[1].offset, 1), "c");
}

TEST(FlaxLeaf, RefusesTheDtypesThatNumpyLacks) {
  for (const Dtype dtype : {Dtype::kF4Packed, Dtype::kF6E2M3Packed, Dtype::kF6E3M2Packed}) {
    EXPECT_THAT(LayOutFlaxArray(dtype, {8}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(DtypeName(dtype)))));
    EXPECT_THAT(Scan(PackedArray(DtypeName(dtype), {8}, "abcd")),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("unknown dtype")));
  }
}

TEST(FlaxLeaf, KeepsValues) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Value values[] = {
      Value::None(), Value::Bool(true), Value::Bool(false), Value::Int(0), Value::Int(-1), Value::Int(1 << 30),
      Value::Int(std::numeric_limits<int64_t>::min()), Value::Int(std::numeric_limits<int64_t>::max()),
      BigInt("9223372036854775808"), BigInt("18446744073709551615"), Value::Float(0.1), Value::Float(-0.0),
      Value::Float(nan), Value::Float(-std::numeric_limits<double>::infinity()), Value::Complex({1.5, -2}),
      Value::String(""), Value::String("Größe"), Value::String(std::string(70000, 's')), Value::Bytes(""),
      Value::Bytes("\0\xff"s), Value::Bytes(std::string(300, 'b')), List({}),
      List({Value::Int(1), List({Value::None()}), Value::Complex({0, 1})}),
      Dict({{Value::String("a"), Value::Int(1)}, {Value::Int(2), List({Value::Bool(true)})}}),
  };
  for (const Value& value : values) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::string encoded, EncodeFlaxValue(value));
    CAIRN_ASSERT_OK_AND_ASSIGN(const Value read, ScanValue(encoded));
    EXPECT_TRUE(read == value) << ValueToString(value).substr(0, 80);
  }
}

TEST(FlaxLeaf, RefusesToWriteWhatFlaxCannotHold) {
  Value tuple = List({Value::Int(1)});
  tuple.kind = Value::Kind::kTuple;
  Value deep = Value::Int(1);
  for (int i = 0; i < 100; ++i) deep = List({deep});
  const std::pair<Value, const char*> cases[] = {
      {BigInt("18446744073709551616"), "18446744073709551616 has more than 64 bits"},
      {BigInt("-9223372036854775809"), "more than 64 bits"},
      {tuple, "a tuple"},
      {List({tuple}), "a tuple"},
      {Value::String("\xff"), "no UTF-8"},
      {Value::Opaque("N."), "kept as a pickle"},
      {Dict({{Value::Opaque("N."), Value::Int(1)}}), "the key <opaque, 2 bytes>"},
      {Dict({{List({}), Value::Int(1)}}), "the key []"},
      {Dict({{Value::String("__msgpack_chunked_array__"), Value::Bool(true)}}), "__msgpack_chunked_array__"},
      {deep, "64 levels"},
  };
  for (const auto& [value, message] : cases) {
    EXPECT_THAT(EncodeFlaxValue(value), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  }
}

TEST(FlaxLeaf, ObeysItsLimits) {
  const std::string text = absl::StrCat("\xd9\x64", std::string(100, 't'));
  CAIRN_EXPECT_OK(Scan(text, {.max_value_bytes = 100}));
  EXPECT_THAT(Scan(text, {.max_value_bytes = 99}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit is 99")));
  // Texts within one value add up, and so do the values of a checkpoint.
  EXPECT_THAT(Scan(absl::StrCat("\x92", text, text), {.max_value_bytes = 199}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a value of 200 bytes")));
  EXPECT_THAT(Scan(absl::StrCat("\x92", text, text), {.max_header_bytes = 199}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 199 bytes")));
  CAIRN_EXPECT_OK(Scan("\x93\x01\x01\x01", {.max_entries = 4}));
  EXPECT_THAT(Scan("\x93\x01\x01\x01", {.max_entries = 3}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 3 items")));
  CAIRN_EXPECT_OK(Scan("\x91\x91\x01", {.max_depth = 2}));
  EXPECT_THAT(Scan("\x91\x91\x01", {.max_depth = 1}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 levels")));

  CAIRN_ASSERT_OK_AND_ASSIGN(const FlaxArrayLayout layout, LayOutFlaxArray(Dtype::kUint8, {4}, 1));
  std::string chunked;
  for (const FlaxArrayLayout::Part& part : layout.parts) absl::StrAppend(&chunked, part.header, "x");
  CAIRN_EXPECT_OK(Scan(chunked, {.max_entries = 4}));
  EXPECT_THAT(Scan(chunked, {.max_entries = 3}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4 chunks")));
}

}  // namespace
}  // namespace cairn::testing
