#include "common/tensor/value.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::IsOk;
using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

Value BigInt(std::string text) {
  Value value;
  value.kind = Value::Kind::kBigInt;
  value.text = std::move(text);
  return value;
}

Value Sequence(Value::Kind kind, std::vector<Value> items, uint64_t length = 0) {
  Value value;
  value.kind = kind;
  value.items = std::move(items);
  value.length = length;
  return value;
}

Value List(std::vector<Value> items) { return Sequence(Value::Kind::kList, std::move(items)); }
Value Tuple(std::vector<Value> items) { return Sequence(Value::Kind::kTuple, std::move(items)); }

Value Dict(std::vector<std::pair<Value, Value>> pairs) {
  Value value;
  value.kind = Value::Kind::kDict;
  value.pairs = std::move(pairs);
  return value;
}

std::string Bytes(absl::string_view hex) { return absl::HexStringToBytes(hex); }

struct Golden {
  Value value;
  const char* hex;
  const char* text;
};

// The bytes are in manifests: a change here is a change of the format.
std::vector<Golden> Goldens() {
  return {
      {Value::None(), "00", "None"},
      {Value::Bool(false), "0100", "False"},
      {Value::Bool(true), "0101", "True"},
      {Value::Int(0), "0200", "0"},
      {Value::Int(-1), "0201", "-1"},
      {Value::Int(1), "0202", "1"},
      {Value::Int(300), "02d804", "300"},
      {Value::Int(std::numeric_limits<int64_t>::max()), "02feffffffffffffffff01", "9223372036854775807"},
      {Value::Int(std::numeric_limits<int64_t>::min()), "02ffffffffffffffffff01", "-9223372036854775808"},
      {BigInt("-12345678901234567890"), "03152d3132333435363738393031323334353637383930",
       "-12345678901234567890"},
      {Value::Float(0.5), "04000000000000e03f", "0.5"},
      {Value::Float(3), "040000000000000840", "3.0"},
      {Value::Complex({1, -2}), "05000000000000f03f00000000000000c0", "(1-2j)"},
      {Value::String("adam"), "06046164616d", "\"adam\""},
      {Value::String(""), "0600", "\"\""},
      {Value::Bytes(std::string("\0\xff", 2)), "070200ff", "b\"\\x00\\xff\""},
      {Value::Opaque("\x80\x02N."), "0b0480024e2e", "<opaque, 4 bytes>"},
      {List({}), "080000", "[]"},
      {Tuple({}), "090000", "()"},
      {Sequence(Value::Kind::kList, {}, 300), "08ac0200", "list of 300 entries"},
      {Sequence(Value::Kind::kTuple, {}, 1), "090100", "tuple of 1 entry"},
      {Dict({}), "0a00", "{}"},
      {List({Value::Int(1), Value::None()}), "080002020200", "[1, None]"},
      {Tuple({Value::Bool(true)}), "0900010101", "(True,)"},
      {Dict({{Value::String("lr"), Value::Float(0.5)},
             {Value::String("betas"), Tuple({Value::Int(1), Value::Int(-1)})}}),
       "0a0206026c7204000000000000e03f06056265746173090002"
       "02020201",
       "{\"lr\": 0.5, \"betas\": (1, -1)}"},
  };
}

TEST(ValueEncoding, BytesArePinned) {
  for (const Golden& golden : Goldens()) {
    EXPECT_EQ(absl::BytesToHexString(EncodeValue(golden.value)), golden.hex) << golden.text;
    CAIRN_ASSERT_OK_AND_ASSIGN(const Value back, DecodeValue(Bytes(golden.hex)));
    EXPECT_EQ(back, golden.value) << golden.text;
  }
}

TEST(ValueEncoding, FloatsKeepTheirBits) {
  for (double number : {-0.0, std::nan(""), -std::nan("7"), std::numeric_limits<double>::denorm_min(),
                        std::numeric_limits<double>::infinity()}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const Value back, DecodeValue(EncodeValue(Value::Float(number))));
    EXPECT_EQ(back, Value::Float(number));
  }
  EXPECT_FALSE(Value::Float(0.0) == Value::Float(-0.0));
}

TEST(ValueEncoding, RefusesEveryTruncationAndEveryTrailingByte) {
  for (const Golden& golden : Goldens()) {
    const std::string bytes = Bytes(golden.hex);
    for (size_t length = 0; length < bytes.size(); ++length) {
      EXPECT_THAT(DecodeValue(absl::string_view(bytes).substr(0, length)), StatusIs(kInvalid))
          << golden.hex << " " << length;
    }
    EXPECT_THAT(DecodeValue(bytes + std::string(1, '\0')), StatusIs(kInvalid)) << golden.hex;
  }
}

TEST(ValueEncoding, RefusesWhatItDoesNotWrite) {
  EXPECT_THAT(DecodeValue(Bytes("0c")), StatusIs(kInvalid, HasSubstr("unknown kind 12")));
  EXPECT_THAT(DecodeValue(Bytes("ff")), StatusIs(kInvalid, HasSubstr("unknown kind 255")));
  EXPECT_THAT(DecodeValue(Bytes("0102")), StatusIs(kInvalid, HasSubstr("bool")));
  EXPECT_THAT(DecodeValue(Bytes("028000")), StatusIs(kInvalid, HasSubstr("longer than it has to be")));
  EXPECT_THAT(DecodeValue(Bytes("02ffffffffffffffffff02")), StatusIs(kInvalid, HasSubstr("beyond 64 bits")));
  EXPECT_THAT(DecodeValue(Bytes("02ffffffffffffffffffff01")),
              StatusIs(kInvalid, HasSubstr("beyond 64 bits")));
  EXPECT_THAT(DecodeValue(Bytes("0300")), StatusIs(kInvalid, HasSubstr("decimal")));
  EXPECT_THAT(DecodeValue(Bytes("03012d")), StatusIs(kInvalid, HasSubstr("decimal")));
  EXPECT_THAT(DecodeValue(Bytes("03023178")), StatusIs(kInvalid, HasSubstr("decimal")));
}

TEST(ValueEncoding, RefusesLengthsBeyondTheBytesWithoutReservingThem) {
  EXPECT_THAT(DecodeValue(Bytes("06ffffffffffffffffff01")), StatusIs(kInvalid));
  EXPECT_THAT(DecodeValue(Bytes("0800ffffffffffffffffff01")), StatusIs(kInvalid, HasSubstr("do not fit")));
  EXPECT_THAT(DecodeValue(Bytes("0affffffffffffffffff01")), StatusIs(kInvalid, HasSubstr("do not fit")));
  EXPECT_THAT(DecodeValue(Bytes("0a020000")), StatusIs(kInvalid, HasSubstr("do not fit")));
}

TEST(ValueEncoding, TakesContainers64DeepAndNoDeeper) {
  Value value = Value::Int(1);
  for (int i = 0; i < 64; ++i) value = List({value});
  EXPECT_THAT(DecodeValue(EncodeValue(value)), IsOk());
  EXPECT_THAT(DecodeValue(EncodeValue(List({value}))),
              StatusIs(kInvalid, HasSubstr("nested deeper than 64")));
  std::string bomb;
  for (int i = 0; i < 100000; ++i) bomb += Bytes("080001");
  EXPECT_THAT(DecodeValue(bomb), StatusIs(kInvalid));
}

Value RandomValue(std::mt19937& random, int depth) {
  const auto text = [&] {
    std::string bytes(random() % 5, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    return bytes;
  };
  switch (random() % (depth > 0 ? 11 : 8)) {
    case 0:
      return Value::None();
    case 1:
      return Value::Bool(random() % 2 != 0);
    case 2:
      return Value::Int(static_cast<int64_t>(uint64_t{random()} << (random() % 33)) - 1000);
    case 3:
      return BigInt("-99999999999999999999");
    case 4:
      return Value::Float(std::ldexp(1.0, static_cast<int>(random() % 100) - 50));
    case 5:
      return Value::Complex({1.5, -static_cast<double>(random())});
    case 6:
      return Value::String(text());
    case 7:
      return Value::Bytes(text());
    case 8:
    case 9: {
      Value value = random() % 2 != 0 ? List({}) : Tuple({});
      value.length = random() % 3 == 0 ? random() : 0;
      for (unsigned i = random() % 4; i > 0; --i) value.items.push_back(RandomValue(random, depth - 1));
      return value;
    }
    default: {
      Value value = Dict({});
      for (unsigned i = random() % 4; i > 0; --i) {
        value.pairs.emplace_back(RandomValue(random, depth - 1), RandomValue(random, depth - 1));
      }
      return value;
    }
  }
}

TEST(ValueEncoding, RandomValuesComeBack) {
  std::mt19937 random(11);
  for (int round = 0; round < 5000; ++round) {
    const Value value = RandomValue(random, 5);
    CAIRN_ASSERT_OK_AND_ASSIGN(const Value back, DecodeValue(EncodeValue(value)));
    ASSERT_EQ(back, value) << ValueToString(value);
  }
}

TEST(ValueEncoding, WhatDecodesEncodesToTheSameBytes) {
  std::mt19937 random(12);
  int decoded = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = EncodeValue(RandomValue(random, 3));
    bytes[random() % bytes.size()] = static_cast<char>(random());
    const absl::StatusOr<Value> value = DecodeValue(bytes);
    if (!value.ok()) continue;
    ++decoded;
    ASSERT_EQ(EncodeValue(*value), bytes) << absl::BytesToHexString(bytes);
  }
  EXPECT_GT(decoded, 1000);
}

TEST(Value, EqualityLooksAtKindAndContents) {
  EXPECT_FALSE(Value::Int(1) == Value::Bool(true));
  EXPECT_FALSE(Value::Int(1) == Value::Float(1));
  EXPECT_FALSE(Value::String("a") == Value::Bytes("a"));
  EXPECT_FALSE(Value::Opaque("a") == Value::Bytes("a"));
  EXPECT_FALSE(Value::Opaque("a") == Value::Opaque("b"));
  EXPECT_FALSE(List({}) == Tuple({}));
  EXPECT_FALSE(Sequence(Value::Kind::kList, {}, 2) == List({}));
  EXPECT_FALSE(List({Value::Int(1)}) == List({Value::Int(2)}));
  EXPECT_FALSE(Dict({{Value::Int(1), Value::Int(2)}}) == Dict({}));
}

TEST(ValueToString, AsksWhatOpaqueValuesAreWhereverTheyLie) {
  const auto describe = [](absl::string_view pickle) { return "a.B of " + std::string(pickle); };
  EXPECT_EQ(ValueToString(List({Value::Opaque("x"), Tuple({Value::Opaque("yy")})}), describe),
            "[<opaque a.B of x, 1 bytes>, (<opaque a.B of yy, 2 bytes>,)]");
  EXPECT_EQ(ValueToString(Dict({{Value::Opaque("k"), Value::Opaque("v")}}), describe),
            "{<opaque a.B of k, 1 bytes>: <opaque a.B of v, 1 bytes>}");
}

TEST(ValueToString, IsWhatAPersonCanRead) {
  for (const Golden& golden : Goldens()) EXPECT_EQ(ValueToString(golden.value), golden.text);
  EXPECT_EQ(ValueToString(Value::Float(1e-5)), "1e-05");
  EXPECT_EQ(ValueToString(Value::Float(-1e22)), "-1e+22");
  EXPECT_EQ(ValueToString(Value::Float(std::nan(""))), "nan");
  EXPECT_EQ(ValueToString(Value::Float(-std::numeric_limits<double>::infinity())), "-inf");
  EXPECT_EQ(ValueToString(Value::Complex({0.5, std::nan("")})), "(0.5+nanj)");
  EXPECT_EQ(ValueToString(Value::String("say \"\xc3\xa9\"\n")), "\"say \\\"\xc3\xa9\\\"\\n\"");
  EXPECT_EQ(ValueToString(Value::String("not UTF-8: \xff")), "\"not UTF-8: \\xff\"");
}

}  // namespace
}  // namespace cairn
