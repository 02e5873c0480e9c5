#include "common/pickle/pickle_values.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/pickle/pickle_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/pickle_attacks.h"
#include "tests/testing/pickle_canonical.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::CanonicalPickle;
using ::cairn::testing::IsOk;
using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

template <size_t kSize>
std::string Raw(const char (&bytes)[kSize]) {
  return std::string(bytes, kSize - 1);
}

absl::StatusOr<Value> ValueOf(const std::string& pickle, const PickleValueOptions& options = {}) {
  const absl::StatusOr<PickleTree> tree = ReadPickle(pickle, "x.pt");
  if (!tree.ok()) return tree.status();
  return PickleValues(*tree, options).ToValue(tree->root());
}

std::string Show(const std::string& pickle) {
  const absl::StatusOr<Value> value = ValueOf(pickle);
  return value.ok() ? ValueToString(*value, DescribeOpaque) : value.status().ToString();
}

const std::string kLatin1 = Raw("X\x06\0\0\0latin1\x86R");
const std::string kEncode = "c_codecs\nencode\n";

std::string Numpy(const std::string& dtype, const std::string& order, absl::string_view hex) {
  std::string dtype_pickle =
      absl::StrCat("cnumpy\ndtype\n(S'", dtype, "'\nI00\nI01\ntR(I3\nS'", order, "'\nNNNI-1\nI-1\nI0\ntb");
  const std::string bytes = absl::HexStringToBytes(hex);
  return absl::StrCat("cnumpy._core.multiarray\nscalar\n", dtype_pickle, "C",
                      std::string(1, static_cast<char>(bytes.size())), bytes, "\x86R.");
}

TEST(PickleValues, PlainThingsAreValues) {
  const std::pair<std::string, const char*> kCases[] = {
      {"N.", "None"},
      {Raw("\x88."), "True"},
      {Raw("K\x07."), "7"},
      {Raw("\x8a\x09\0\0\0\0\0\0\0\0\x01."), "18446744073709551616"},
      {"L-123456789012345678901234567890\n.", "-123456789012345678901234567890"},
      {"F0.5\n.", "0.5"},
      {"S'a'\n.", "\"a\""},
      {"S'\\xff'\n.", "b\"\\xff\""},
      {Raw("C\x01z."), "b\"z\""},
      {Raw("\x96\x01\0\0\0\0\0\0\0z."), "b\"z\""},
      {"(I1\n(I2\ntl.", "[1, (2,)]"},
      {"(S'a'\nI1\nI2\nNd.", "{\"a\": 1, 2: None}"},
      {"ctorch\nSize\n((I2\nI3\nttR.", "(2, 3)"},
      {"ctorch\nSize\n)R.", "()"},
      {"ccollections\nOrderedDict\n)R(I1\nI2\nu.", "{1: 2}"},
      {"ccollections\nOrderedDict\n)R}S'_metadata'\n}sb.", "{}"},
      {"ccollections\nOrderedDict\n(((I1\nI2\ntltR.", "{1: 2}"},
      {"ccollections\ndefaultdict\n(c__builtin__\nlist\ntRI1\n]s.", "{1: []}"},
      {kEncode + Raw("X\x04\0\0\0\xc3\xbf\xc2\x80") + kLatin1 + ".", "b\"\\xff\\x80\""},
      {"c__builtin__\nbytes\n)R.", "b\"\""},
      {"c__builtin__\nbytearray\n" + kEncode + Raw("X\x01\0\0\0z") + kLatin1 + Raw("\x85R."), "b\"z\""},
      {"c__builtin__\nbytearray\n" + Raw("X\x01\0\0\0zX\x07\0\0\0latin-1\x86R."), "b\"z\""},
      {"c__builtin__\ncomplex\n(F1\nF-2\ntR.", "(1-2j)"},
      {Numpy("b1", "|", "01"), "True"},
      {Numpy("i1", "|", "ff"), "-1"},
      {Numpy("i4", "<", "05000000"), "5"},
      {Numpy("i4", ">", "fffffffb"), "-5"},
      {Numpy("u8", "<", "ffffffffffffffff"), "18446744073709551615"},
      {Numpy("f2", "<", "0038"), "0.5"},
      {Numpy("f2", "<", "0100"), "5.960464477539063e-08"},
      {Numpy("f2", "<", "00fc"), "-inf"},
      {Numpy("f4", "<", "0000c03f"), "1.5"},
      {Numpy("f8", ">", "3ff8000000000000"), "1.5"},
      {Numpy("c8", "<", "0000803f000000c0"), "(1-2j)"},
      {Numpy("c16", "<", "000000000000f03f0000000000000000"), "(1+0j)"},
      {Numpy("S3", "|", "616200"), "b\"ab\""},
      {Numpy("U2", "<", "6100000000f60100"), "\"a\xf0\x9f\x98\x80\""},
  };
  for (const auto& [pickle, expected] : kCases) EXPECT_EQ(Show(pickle), expected) << pickle;
  EXPECT_EQ(Show(testing::PickleSamples().back().second), "5");
}

TEST(PickleValues, WhatIsNotPlainIsOpaqueAndOnlyThat) {
  EXPECT_EQ(Show("(cargparse\nNamespace\n)RI1\nl."), "[<opaque argparse.Namespace, 27 bytes>, 1]");
  EXPECT_EQ(Show("(S'f'\nctorch\nfloat32\nd."), "{\"f\": <opaque torch.float32, 20 bytes>}");
  const char* const kOpaque[] = {
      "cos\nsystem\n(S'ls'\ntR.",
      "c__builtin__\nset\n((I1\nltR.",
      "ccollections\nOrderedDict\n)R}S'mine'\nNsb.",  // An attribute that would get lost.
      "ccollections\nOrderedDict\n(I1\ntR.",
      "ccollections\nOrderedDict\n)R(I1\ne.",
      "ctorch\nSize\n(I1\nI2\ntR.",
      "ctorch\nSize\n)R}b.",
      "c_codecs\nencode\n(V\\u20ac\nVlatin1\ntR.",
      "c_codecs\nencode\n(Va\nVutf-8\ntR.",
      "c__builtin__\ncomplex\n(S'1'\ntR.",
      "V\\ud800\n.",
      "cnumpy._core.multiarray\nscalar\n(NNtR.",
  };
  for (const char* pickle : kOpaque) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const Value value, ValueOf(pickle));
    ASSERT_EQ(value.kind, Value::Kind::kOpaque) << pickle;
    CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree before, ReadPickle(pickle, "before"));
    CAIRN_ASSERT_OK_AND_ASSIGN(const PickleTree after, ReadPickle(value.text, "after"));
    EXPECT_EQ(CanonicalPickle(after, after.root()), CanonicalPickle(before, before.root()));
  }
  for (const std::string& pickle :
       {Numpy("f8", "<", "00"), Numpy("f16", "<", std::string(32, '0')), Numpy("V4", "|", "00000000"),
        Numpy("M8", "<", "0000000000000000"), Numpy("U1", "<", "00d80000"), Numpy("i3", "<", "000000")}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const Value value, ValueOf(pickle));
    EXPECT_EQ(value.kind, Value::Kind::kOpaque) << pickle;
  }
}

TEST(PickleValues, OfEqualKeysTheLastValueStandsAtTheFirstPlace) {
  EXPECT_EQ(Show("(I1\nS'a'\nS'k'\nS'b'\nF1.0\nS'c'\nI01\nS'd'\nS'k'\nS'e'\nd."), "{1: \"d\", \"k\": \"e\"}");
  EXPECT_EQ(Show("((I1\nS'x'\ntI1\n(I01\nS'x'\ntI2\nd."), "{(1, \"x\"): 2}");
  EXPECT_EQ(Show("(Fnan\nI1\nFnan\nI2\nd."), "{nan: 1, nan: 2}");
  EXPECT_EQ(Show("(S'1'\nI1\nI1\nI2\nC\x01"
                 "1I3\nd."),
            "{\"1\": 1, 1: 2, b\"1\": 3}");
}

TEST(PickleValues, WhatIsTooDeepOrCyclicOrExplodesIsOpaqueAsAWhole) {
  std::string deep = "I1\n";
  for (int i = 0; i < 60; ++i) deep += "\x85";
  CAIRN_ASSERT_OK_AND_ASSIGN(Value value, ValueOf(deep + "."));
  EXPECT_EQ(value.kind, Value::Kind::kTuple);
  EXPECT_THAT(DecodeValue(EncodeValue(value)), IsOk());
  CAIRN_ASSERT_OK_AND_ASSIGN(value, ValueOf(deep + "\x85."));
  EXPECT_EQ(value.kind, Value::Kind::kOpaque);
  for (const char* pickle : {"]p0\ng0\na.", "}p0\nI1\ng0\ns.", "ccollections\nOrderedDict\n)Rp0\n(I1\ng0\nu."}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(value, ValueOf(pickle));
    EXPECT_EQ(value.kind, Value::Kind::kOpaque) << pickle;
  }
  for (const auto& [name, bytes] : testing::PickleSamples()) {
    if (name != "billion_laughs") continue;
    CAIRN_ASSERT_OK_AND_ASSIGN(value, ValueOf(bytes));
    EXPECT_EQ(value.kind, Value::Kind::kOpaque);
    EXPECT_LT(value.text.size(), 2000);
  }
}

TEST(PickleValues, ManyObjectsThatShareABigOneAreNotCarriedOneByOne) {
  std::string pickle = "((";
  for (int i = 0; i < 20'000; ++i) pickle += "I1\n";
  pickle += "lp0\n0(";
  for (int i = 0; i < 1000; ++i) pickle += "ca\nB\n(g0\ntR";
  pickle += "t.";
  EXPECT_THAT(ValueOf(pickle, {.max_total_bytes = 1u << 20}),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("the values of one pickle take more than 1048576 bytes")));
}

TEST(PickleValues, TensorsWithinOpaqueObjectsAreRefusedByName) {
  EXPECT_THAT(ValueOf("(S'hook'\ncmine\nHook\n(P7\ntRd."),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("object of mine.Hook"), HasSubstr("persistent id"))));
}

TEST(WriteValue, ValuesComeBack) {
  Value big;
  big.kind = Value::Kind::kBigInt;
  big.text = "-12345678901234567890123";
  Value list;
  list.kind = Value::Kind::kList;
  Value dict;
  dict.kind = Value::Kind::kDict;
  CAIRN_ASSERT_OK_AND_ASSIGN(const Value opaque, ValueOf("cargparse\nNamespace\n)R}S'a'\nI1\nsb."));
  list.items = {Value::None(),           Value::Bool(true),  Value::Int(-5),       big,    Value::Float(0.5),
                Value::Complex({1, -2}), Value::String("x"), Value::Bytes("\xff"), opaque, opaque};
  dict.pairs = {{Value::String("l"), list}, {Value::Int(1), Value::Int(2)}};
  Value tuple;
  tuple.kind = Value::Kind::kTuple;
  tuple.items = {dict, list};
  for (const int protocol : {2, 4}) {
    std::string pickle;
    PickleWriter writer(&pickle, protocol);
    CAIRN_ASSERT_OK(WriteValue(tuple, writer));
    CAIRN_ASSERT_OK(writer.Finish());
    CAIRN_ASSERT_OK_AND_ASSIGN(const Value back, ValueOf(pickle));
    EXPECT_EQ(back, tuple) << ValueToString(back);
  }
}

TEST(WriteValue, RefusesWhatIsNoWholeValue) {
  const auto write = [](const Value& value) {
    std::string pickle;
    PickleWriter writer(&pickle, 2);
    return WriteValue(value, writer);
  };
  Value mark;
  mark.kind = Value::Kind::kList;
  mark.length = 3;
  EXPECT_THAT(write(mark), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("mark of a list of 3 entries")));
  EXPECT_THAT(write(Value::String("\xff")), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no UTF-8")));
  EXPECT_THAT(write(Value::Opaque("junk")), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("opaque value")));
  EXPECT_THAT(write(Value::Opaque("N.N.")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 bytes after it")));
  EXPECT_THAT(write(Value::Opaque("P7\n.")),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("persistent id")));
}

TEST(DescribeOpaque, NamesTheClassAndWhatElseIsNamed) {
  const std::pair<std::string, const char*> kCases[] = {
      {"cargparse\nNamespace\n)R.", "argparse.Namespace"},
      {"cargparse\nNamespace\n)R}S'p'\ncpathlib\nPosixPath\n(S'/'\ntRsb.", "argparse.Namespace with pathlib.PosixPath"},
      {"ccopy_reg\n_reconstructor\n(ca\nB\nc__builtin__\nobject\nNtR.", "a.B"},
      {testing::PickleSamples()[15].second, "a.Outer.Inner"},
      {"ctorch\nfloat32\n.", "torch.float32"},
      {"c__builtin__\nset\n((I1\nltR.", "builtins.set"},
      {"(ca\nA\nca\nB\nca\nC\nca\nD\nca\nE\nca\nF\nl.", "list with a.A, a.B, a.C, a.D and 2 more"},
      {"]p0\ng0\na.", "list"},
      {"junk", "unreadable pickle"},
      {"", "unreadable pickle"},
  };
  for (const auto& [pickle, expected] : kCases) EXPECT_EQ(DescribeOpaque(pickle), expected) << pickle;
}

}  // namespace
}  // namespace cairn
