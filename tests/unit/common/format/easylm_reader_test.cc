#include "common/format/easylm/easylm_reader.h"

#include <cmath>
#include <set>

#include "common/format/easylm/easylm_format.h"
#include "tests/attacks/easylm_attacks.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/format/easylm_files.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(const std::string& bytes, const std::string& variant = "",
                                                       const ReadLimits& limits = {}) {
  return EasyLmFormat().Open(MemorySourceTree(bytes, "FILE"), {.limits = limits, .variant = variant});
}

std::vector<std::string> Keys(const CheckpointReader& reader) {
  std::vector<std::string> keys;
  for (const Entry& entry : reader.index().entries) keys.push_back(entry.path.ToString());
  return keys;
}

std::map<std::string, Value> Values(const CheckpointReader& reader) {
  std::map<std::string, Value> values;
  for (const Entry& entry : reader.index().entries) {
    EXPECT_EQ(entry.kind, EntryKind::kValue) << entry.path.ToString();
    values.emplace(entry.path.ToString(), entry.value);
  }
  return values;
}

class EasyLmGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(EasyLmGolden, HasTheTensorsThatNumpySees) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Open(GoldenBytes(GetParam())));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Content content, ReadContent(*reader));
  std::vector<size_t> tensors;
  for (size_t i = 0; i < content.index.entries.size(); ++i) {
    if (content.index.entries[i].kind == EntryKind::kTensor) tensors.push_back(i);
  }
  const std::vector<ListedTensor> listing = GoldenListing(GetParam());
  ASSERT_FALSE(listing.empty());
  ASSERT_EQ(tensors.size(), listing.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Entry& entry = content.index.entries[tensors[i]];
    EXPECT_EQ(entry.path.ToString(), listing[i].key);
    EXPECT_EQ(DtypeName(entry.dtype), listing[i].dtype) << listing[i].key;
    EXPECT_EQ(entry.shape, listing[i].shape) << listing[i].key;
    EXPECT_EQ(content.bytes[tensors[i]], listing[i].bytes) << listing[i].key;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, EasyLmGolden,
                         ::testing::Values("streaming_params", "streaming_train_state", "dtypes", "numpy_scalars", "chunked"),
                         [](const auto& test) { return test.param; });

TEST(EasyLmReader, ReadsEveryDtypeOfNumpy) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Open(GoldenBytes("dtypes")));
  std::set<Dtype> found;
  for (const Entry& entry : reader->index().entries) found.insert(entry.dtype);
  for (const Dtype dtype : AllDtypes()) {
    const bool packed = dtype == Dtype::kF4Packed || dtype == Dtype::kF6E2M3Packed || dtype == Dtype::kF6E3M2Packed;
    EXPECT_EQ(found.count(dtype), packed ? 0u : 1u) << DtypeName(dtype);
  }
}

TEST(EasyLmReader, ReadsValuesAsPythonHadThem) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Open(GoldenBytes("values")));
  std::map<std::string, Value> values = Values(*reader);
  EXPECT_TRUE(values["step"] == Value::Int(1200));
  EXPECT_TRUE(values["none"] == Value::None());
  EXPECT_TRUE(values["yes"] == Value::Bool(true));
  EXPECT_TRUE(values["no"] == Value::Bool(false));
  EXPECT_TRUE(values["float"] == Value::Float(0.1));
  EXPECT_TRUE(values["inf"] == Value::Float(-HUGE_VAL));
  EXPECT_EQ(values["nan"].kind, Value::Kind::kFloat);
  EXPECT_TRUE(std::isnan(values["nan"].number.real()));
  EXPECT_TRUE(values["complex"] == Value::Complex({1.5, -2.0}));
  EXPECT_TRUE(values["text"] == Value::String("Größe 🪨"));
  EXPECT_TRUE(values["empty_text"] == Value::String(""));
  EXPECT_TRUE(values["long_text"] == Value::String(std::string(300, 'x')));
  EXPECT_TRUE(values["bytes"] == Value::Bytes(std::string("\x00\xff", 2)));
  EXPECT_EQ(values["long_bytes"].text.size(), 512u);
  EXPECT_TRUE(values["list/0"] == Value::Int(1));
  EXPECT_TRUE(values["list/2/three"] == Value::Float(3));
  EXPECT_TRUE(values["tuple/0"] == Value::Int(4));
  EXPECT_TRUE(values["int_keys/7"] == Value::String("seven"));
  for (const auto& [key, value] : values) EXPECT_THAT(key, ::testing::Not(StartsWith("empty/")));

  const std::string integers[] = {"0", "127", "128", "255", "256", "65535", "65536", "4294967295", "4294967296",
                                  "9223372036854775807", "9223372036854775808", "18446744073709551615", "-1", "-32",
                                  "-33", "-128", "-129", "-32768", "-32769", "-2147483648", "-2147483649",
                                  "-9223372036854775808"};
  for (size_t i = 0; i < std::size(integers); ++i) {
    const Value& value = values[absl::StrCat("integers/", i < 10 ? "0" : "", i)];
    EXPECT_EQ(ValueToString(value), integers[i]);
    EXPECT_EQ(value.kind, i == 10 || i == 11 ? Value::Kind::kBigInt : Value::Kind::kInt) << integers[i];
  }
}

TEST(EasyLmReader, ReadsListsAndDictsThatAreWholeLeaves) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Open(GoldenBytes("native_containers")));
  std::map<std::string, Value> values = Values(*reader);
  EXPECT_EQ(ValueToString(values["list"]), "[1, [2.5, None], b\"3\"]");
  EXPECT_EQ(ValueToString(values["dict"]), "{\"a\": [True], 5: \"five\"}");
}

TEST(EasyLmReader, JoinsTheChunksOfALargeArray) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Open(GoldenBytes("chunked")));
  const std::vector<ListedTensor> listing = GoldenListing("chunked");
  for (size_t i = 0; i < listing.size(); ++i) {
    const std::string& whole = listing[i].bytes;
    for (size_t window : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{200}}) {
      for (size_t offset = 0; offset < whole.size(); offset += 7) {
        std::string read(std::min(window, whole.size() - offset), '?');
        CAIRN_ASSERT_OK(reader->ReadAt(i, offset, absl::MakeSpan(read)));
        ASSERT_EQ(read, whole.substr(offset, read.size())) << listing[i].key << " at " << offset;
      }
    }
    std::string beyond(2, '?');
    EXPECT_THAT(reader->ReadAt(i, whole.size() - 1, absl::MakeSpan(beyond)),
                StatusIs(absl::StatusCode::kOutOfRange, HasSubstr(listing[i].key)));
  }
}

TEST(EasyLmReader, PicksTheParametersOutOfATrainState) {
  const std::string file = GoldenBytes("streaming_train_state");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto picked, Open(file, "trainstate_params"));
  EXPECT_EQ(Keys(*picked), (std::vector<std::string>{"dense/bias", "dense/kernel"}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Content content, ReadContent(*picked));
  EXPECT_EQ(content.bytes[0], GoldenListing("streaming_train_state")[0].bytes);

  for (const char* variant : {"", "params", "trainstate"}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto whole, Open(file, variant));
    EXPECT_EQ(Keys(*whole), (std::vector<std::string>{"step", "params/params/dense/bias", "params/params/dense/kernel",
                                                      "opt_state/0/count", "opt_state/0/mu/params/dense/bias",
                                                      "opt_state/0/mu/params/dense/kernel",
                                                      "opt_state/0/nu/params/dense/bias",
                                                      "opt_state/0/nu/params/dense/kernel"}));
  }
}

TEST(EasyLmReader, RefusesToPickParametersWhereThereAreNone) {
  EXPECT_THAT(Open(GoldenBytes("streaming_params"), "trainstate_params"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(StartsWith("FILE: "), HasSubstr("\"params/params\""), HasSubstr("params::"))));
  EXPECT_THAT(Open(EasyLmObjectBytes({"params", "params"}, "\x01"), "trainstate_params"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nothing is left")));
}

TEST(EasyLmReader, RefusesEveryAttackByNameAndOffset) {
  const std::vector<EasyLmAttack> attacks = EasyLmAttacks();
  EXPECT_GE(attacks.size(), 20u);
  std::set<std::string> names;
  for (const EasyLmAttack& attack : attacks) {
    EXPECT_TRUE(names.insert(attack.name).second) << attack.name;
    EXPECT_THAT(Open(attack.bytes),
                StatusIs(absl::StatusCode::kInvalidArgument, AllOf(StartsWith("FILE: "), HasSubstr(attack.message))))
        << attack.name;
    // What is left out of the index is not left unchecked.
    EXPECT_THAT(Open(attack.bytes, "trainstate_params"), StatusIs(absl::StatusCode::kInvalidArgument)) << attack.name;
  }
}

TEST(EasyLmReader, NamesTheLastWholeKeyOfATornFile) {
  const std::string file = GoldenBytes("streaming_params");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto whole, Open(file));
  const std::vector<std::string> keys = Keys(*whole);
  size_t torn = 0, last_count = 0;
  for (size_t size = 1; size < file.size(); ++size) {
    const auto reader = Open(file.substr(0, size));
    if (reader.ok()) {
      // Cut between two objects: nothing in the file tells.
      EXPECT_EQ(++last_count, (*reader)->index().entries.size());
      continue;
    }
    ++torn;
    const std::string last = last_count == 0 ? "no key before it is whole"
                                             : absl::StrCat("the last whole key is \"", keys[last_count - 1], "\"");
    ASSERT_THAT(reader, StatusIs(absl::StatusCode::kInvalidArgument,
                                 AllOf(StartsWith("FILE: torn save: the object at offset "), HasSubstr(last))));
  }
  EXPECT_EQ(torn, file.size() - keys.size());
  EXPECT_THAT(Open(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("an empty file")));
}

TEST(EasyLmReader, ObeysItsLimits) {
  std::string file;
  for (const char* key : {"a", "b", "c"}) file += EasyLmObjectBytes({key, "long", "name"}, "\x01");
  CAIRN_EXPECT_OK(Open(file, "", {.max_entries = 3}));
  EXPECT_THAT(Open(file, "", {.max_entries = 2}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 2")));
  CAIRN_EXPECT_OK(Open(file, "", {.max_depth = 3}));
  EXPECT_THAT(Open(file, "", {.max_depth = 2}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 segments")));
  CAIRN_EXPECT_OK(Open(file, "", {.max_name_bytes = 11}));
  EXPECT_THAT(Open(file, "", {.max_name_bytes = 10}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit is 10")));
}

TEST(EasyLmReader, ScansHeadersAndNotPayloads) {
  std::string file;
  for (const char* key : {"a", "b", "c", "d"}) {
    file += EasyLmObjectBytes({key}, PackedExt(1, absl::StrCat("\x93\x91", absl::HexStringToBytes("ce00400000"),
                                                               PackedStr("uint8"), PackedBin(std::string(4 << 20, 'p')))));
  }
  const auto tree = std::make_shared<CountingTree>(file);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, EasyLmFormat().Open(tree, {}));
  EXPECT_EQ(reader->index().TotalBytes(), 16u << 20);
  EXPECT_LE(tree->read_bytes(), 64u << 10);
  EXPECT_TRUE(EasyLmFormat().Detect(*tree));
  EXPECT_LE(tree->read_bytes(), 68u << 10);
}

TEST(EasyLmReader, ScansManySmallTensorsInFewReads) {
  std::string file;
  for (int i = 0; i < 20000; ++i) file += EasyLmObjectBytes({absl::StrCat(i)}, PackedArray("uint8", {4}, "abcd"));
  const auto tree = std::make_shared<CountingTree>(file);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, EasyLmFormat().Open(tree, {}));
  EXPECT_EQ(reader->index().entries.size(), 20000u);
  EXPECT_LE(tree->reads(), 20u);
}

TEST(EasyLmDetect, KnowsItsFilesByTheirFirstBytes) {
  for (const char* name : {"streaming_params", "streaming_train_state", "dtypes", "numpy_scalars", "values", "chunked",
                           "native_containers"}) {
    const std::string file = GoldenBytes(name);
    EXPECT_TRUE(EasyLmFormat().Detect(*MemorySourceTree(file))) << name;
  }
  // A torn file is one of ours all the same.
  EXPECT_TRUE(EasyLmFormat().Detect(*MemorySourceTree(GoldenBytes("streaming_params").substr(0, 60))));
}

TEST(EasyLmDetect, LeavesOtherFilesAlone) {
  const std::string others[] = {
      "",
      "\x92",
      std::string(100, '\0'),
      "PK\x03\x04",
      "\x80\x02}q\x01",
      std::string("\x40\0\0\0\0\0\0\0{\"a\"", 12),
      // A Flax file: one map of everything.
      absl::StrCat("\x81", PackedStr("params"), PackedArray("uint8", {1}, "a")),
      absl::StrCat("\x92", PackedStr("a"), PackedBin("\x01")),
      absl::StrCat("\x92", PackedKey({"a"}), PackedStr("b")),
      // Bins that are no leaves.
      EasyLmObjectBytes({"a"}, ""),
      EasyLmObjectBytes({"a"}, "\x01\x02"),
      EasyLmObjectBytes({"a"}, "\xc1"),
      EasyLmObjectBytes({"a"}, PackedExt(9, "\x93\x01\x01\x01")),
      EasyLmObjectBytes({"a"}, PackedExt(1, "\x01")),
  };
  for (const std::string& other : others) {
    EXPECT_FALSE(EasyLmFormat().Detect(*MemorySourceTree(other))) << absl::CHexEscape(other);
  }
}

}  // namespace
}  // namespace cairn::testing
