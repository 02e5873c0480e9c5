#include "common/format/flax/flax_reader.h"

#include <cmath>
#include <map>
#include <set>

#include "common/format/easylm/easylm_format.h"
#include "tests/attacks/flax_attacks.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/format/flax_files.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using std::string_literals::operator""s;

std::map<std::string, Value> Values(const CheckpointReader& reader) {
  std::map<std::string, Value> values;
  for (const Entry& entry : reader.index().entries) {
    if (entry.kind == EntryKind::kValue) values.emplace(entry.path.ToString(), entry.value);
  }
  return values;
}

class FlaxGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(FlaxGolden, HasTheTensorsThatNumpySees) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenFlaxBytes(GoldenFlax(GetParam())));
  const std::vector<ListedTensor> listing = ListingOf(GoldenFlax(GetParam() + ".txt"));
  ASSERT_FALSE(listing.empty());
  ExpectListed(*reader, listing);
}

INSTANTIATE_TEST_SUITE_P(Files, FlaxGolden,
                         ::testing::Values("params", "train_state", "checkpoint_7", "dtypes", "native", "chunked",
                                           "list_is_not_chunked"),
                         [](const auto& test) { return test.param; });

TEST(FlaxReader, ReadsEveryDtypeOfNumpy) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenFlaxBytes(GoldenFlax("dtypes")));
  std::set<Dtype> found;
  for (const Entry& entry : reader->index().entries) found.insert(entry.dtype);
  for (const Dtype dtype : AllDtypes()) {
    const bool packed = dtype == Dtype::kF4Packed || dtype == Dtype::kF6E2M3Packed || dtype == Dtype::kF6E3M2Packed;
    EXPECT_EQ(found.count(dtype), packed ? 0u : 1u) << DtypeName(dtype);
  }
}

TEST(FlaxReader, ReadsTheValuesOfAStateDict) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenFlaxBytes(GoldenFlax("values")));
  std::map<std::string, Value> values = Values(*reader);
  EXPECT_TRUE(values["step"] == Value::Int(1200));
  EXPECT_TRUE(values["none"] == Value::None());
  EXPECT_TRUE(values["yes"] == Value::Bool(true));
  EXPECT_TRUE(values["float"] == Value::Float(0.1));
  EXPECT_TRUE(values["inf"] == Value::Float(-HUGE_VAL));
  EXPECT_TRUE(std::isnan(values["nan"].number.real()));
  EXPECT_TRUE(values["complex"] == Value::Complex({1.5, -2.0}));
  EXPECT_TRUE(values["text"] == Value::String("Größe 🪨"));
  EXPECT_TRUE(values["bytes"] == Value::Bytes("\x00\xff"s));
  EXPECT_EQ(values["long_bytes"].text.size(), 512u);
  EXPECT_EQ(ValueToString(values["integers/11"]), "18446744073709551615");
  EXPECT_EQ(ValueToString(values["integers/21"]), "-9223372036854775808");
  // Lists and tuples of a state dict are dicts "0", "1", ...
  EXPECT_TRUE(values["list/0"] == Value::Int(1));
  EXPECT_TRUE(values["list/2/three"] == Value::Float(3));
  EXPECT_TRUE(values["tuple/0"] == Value::Int(4));
  for (const char* path : {"empty/dict", "empty/list", "empty/tuple"})
    EXPECT_EQ(ValueToString(values[path]), "{}") << path;
  EXPECT_TRUE(values["many/key19"] == Value::Int(19));
}

TEST(FlaxReader, ReadsWhatOnlyMsgpackSerializeWrites) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenFlaxBytes(GoldenFlax("native")));
  std::map<std::string, Value> values = Values(*reader);
  EXPECT_EQ(ValueToString(values["list"]), "[1, [2.5, None], b\"3\", {\"four\": 4}]");
  EXPECT_EQ(ValueToString(values["empty_list"]), "[]");
  EXPECT_TRUE(values["int_keys/[-1]"] == Value::String("minus"));
  EXPECT_EQ(ValueToString(values["odd_keys"]), "{None: 1, 2.5: [True], b\"raw\": {}}");
  EXPECT_TRUE(values["numbers/[5]"] == Value::String("five"));
  EXPECT_TRUE(values["numbers/5"] == Value::String("text"));
  // A list that holds arrays is a mark, and its items are entries.
  EXPECT_EQ(values["arrays"].kind, Value::Kind::kList);
  EXPECT_EQ(values["arrays"].length, 3u);
  EXPECT_EQ(values["arrays/[1]/deep"].length, 1u);
  EXPECT_TRUE(values["arrays/[2]"] == Value::String("text"));
  EXPECT_EQ(reader->index().metadata.at("flax.numpy_scalars"),
            "scalars/f32\nscalars/i64\nscalars/flag\nscalars/c64\nscalars/bf16");
}

TEST(FlaxReader, ADictThatTurnsOutToBeAValueLeavesNoEntriesBehind) {
  const std::string odd =
      PackedMap({{PackedStr("x"), "\x01"}, {PackedStr("y"), PackedMap({{PackedStr("z"), "\x02"}})}, {"\xc0", "\x03"}});
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader,
                             OpenFlaxBytes(PackedMap({{PackedStr("a"), PackedArray("uint8", {2}, "12")},
                                                      {PackedStr("odd"), odd},
                                                      {PackedStr("w"), PackedArray("uint8", {2}, "34")}})));
  EXPECT_EQ(ShownPaths(*reader), (std::vector<std::string>{"a", "odd", "w"}));
  EXPECT_EQ(ValueToString(reader->index().entries[1].value), "{\"x\": 1, \"y\": {\"z\": 2}, None: 3}");
  CAIRN_ASSERT_OK_AND_ASSIGN(const Content content, ReadContent(*reader));
  EXPECT_EQ(content.bytes[0], "12");
  EXPECT_EQ(content.bytes[2], "34");
}

TEST(FlaxReader, JoinsTheChunksOfALargeArray) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenFlaxBytes(GoldenFlax("chunked")));
  const std::vector<ListedTensor> listing = ListingOf(GoldenFlax("chunked.txt"));
  for (size_t i = 0; i < listing.size(); ++i) {
    const std::string& whole = listing[i].bytes;
    for (size_t window : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{200}}) {
      for (size_t offset = 0; offset < whole.size(); offset += 7) {
        std::string read(std::min(window, whole.size() - offset), '?');
        CAIRN_ASSERT_OK(reader->ReadAt(i, offset, absl::MakeSpan(read)));
        ASSERT_EQ(read, whole.substr(offset, read.size())) << listing[i].key << " at " << offset;
      }
    }
  }
}

TEST(FlaxReader, RefusesEveryAttackByName) {
  const std::vector<FlaxAttack> attacks = FlaxAttacks();
  EXPECT_GE(attacks.size(), 60u);
  std::set<std::string> names;
  for (const FlaxAttack& attack : attacks) {
    EXPECT_TRUE(names.insert(attack.name).second) << attack.name;
    EXPECT_THAT(OpenFlaxBytes(attack.bytes),
                StatusIs(absl::StatusCode::kInvalidArgument, AllOf(StartsWith("FILE: "), HasSubstr(attack.message))))
        << attack.name;
  }
}

TEST(FlaxReader, NamesTheEntryThatAFileEndsIn) {
  const std::string file = GoldenFlax("params");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto whole, OpenFlaxBytes(file));
  for (size_t size = 1; size < file.size(); ++size) {
    ASSERT_THAT(
        OpenFlaxBytes(file.substr(0, size)),
        StatusIs(absl::StatusCode::kInvalidArgument, AllOf(StartsWith("FILE: "), HasSubstr("torn or no Flax file"))))
        << size;
  }
  EXPECT_THAT(OpenFlaxBytes(file.substr(0, file.size() - 1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("entry \"lm_head/kernel\"")));
}

TEST(FlaxReader, ObeysItsLimits) {
  const std::string file =
      PackedMap({{PackedStr("a"),
                  PackedMap({{PackedStr("b"), PackedMap({{PackedStr("c"), "\x01"}, {PackedStr("d"), "\x02"}})}})}});
  CAIRN_EXPECT_OK(OpenFlaxBytes(file, {.max_entries = 2}));
  EXPECT_THAT(OpenFlaxBytes(file, {.max_entries = 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 1 ")));
  CAIRN_EXPECT_OK(OpenFlaxBytes(file, {.max_depth = 3}));
  EXPECT_THAT(OpenFlaxBytes(file, {.max_depth = 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("levels deep")));
  CAIRN_EXPECT_OK(OpenFlaxBytes(file, {.max_name_bytes = 5}));
  EXPECT_THAT(OpenFlaxBytes(file, {.max_name_bytes = 4}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit")));
  // Two paths of 5 bytes and 3 segments.
  CAIRN_EXPECT_OK(OpenFlaxBytes(file, {.max_header_bytes = 27}));
  EXPECT_THAT(OpenFlaxBytes(file, {.max_header_bytes = 26}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("paths of more than")));
  const std::string list = PackedMap({{PackedStr("a"), "\x93\x01\x02\x03"}});
  CAIRN_EXPECT_OK(OpenFlaxBytes(list, {.max_entries = 4}));
  EXPECT_THAT(OpenFlaxBytes(list, {.max_entries = 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("limit")));
}

TEST(FlaxReader, ScansHeadersAndNotPayloads) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const char* key : {"a", "b", "c", "d"}) {
    pairs.emplace_back(PackedStr(key),
                       PackedExt(1, absl::StrCat("\x93\x91", absl::HexStringToBytes("ce00400000"), PackedStr("uint8"),
                                                 PackedBin(std::string(4 << 20, 'p')))));
  }
  const auto tree = std::make_shared<CountingTree>(PackedMap(pairs));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, FlaxFormat().Open(tree, {}));
  EXPECT_EQ(reader->index().TotalBytes(), 16u << 20);
  EXPECT_LE(tree->read_bytes(), 96u << 10);
  const uint64_t before = tree->read_bytes();
  EXPECT_TRUE(FlaxFormat().Detect(*tree));
  EXPECT_LE(tree->read_bytes() - before, 16u << 10);
}

TEST(FlaxReader, ScansManySmallTensorsInFewReads) {
  std::string file = "\xde\x4e\x20";  // 20,000 pairs.
  for (int i = 0; i < 20000; ++i) file += PackedStr(absl::StrCat(i)) + PackedArray("uint8", {4}, "abcd");
  const auto tree = std::make_shared<CountingTree>(file);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, FlaxFormat().Open(tree, {}));
  EXPECT_EQ(reader->index().entries.size(), 20000u);
  EXPECT_LE(tree->reads(), 25u);
}

TEST(FlaxDetect, KnowsItsFilesByTheirFirstBytes) {
  for (const char* name :
       {"params", "train_state", "checkpoint_7", "dtypes", "values", "native", "chunked", "list_is_not_chunked"}) {
    const std::string file = GoldenFlax(name);
    EXPECT_TRUE(FlaxFormat().Detect(*MemorySourceTree(file))) << name;
    EXPECT_FALSE(EasyLmFormat().Detect(*MemorySourceTree(file))) << name;
    // A file that is cut short is one of ours all the same.
    EXPECT_TRUE(FlaxFormat().Detect(*MemorySourceTree(file.substr(0, 60)))) << name;
  }
  EXPECT_TRUE(FlaxFormat().Detect(*MemorySourceTree(PackedMap({{"\x07", PackedArray("uint8", {1}, "a")}}))));
}

TEST(FlaxDetect, LeavesOtherFilesAlone) {
  const std::string others[] = {
      "",
      "\x80",
      "\x81",
      std::string(100, '\0'),
      "PK\x03\x04",
      "\x80\x02}q\x01",
      "\x80\x04\x95\x10\0\0\0\0\0\0\0}"s,
      // Headers of safetensors whose lengths look like maps.
      "\x81\x01\0\0\0\0\0\0{\"a\""s,
      "\x8f\0\0\0\0\0\0\0{\"a\": {\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [0, 1]}}"s,
      "\xde\x01\0\0\0\0\0\0{\"a\": {\"dtype\": \"U8\", \"shape\": [1], \"data_offsets\": [0, 1]}}"s,
      GoldenFile("easylm/streaming_params"),
      GoldenFile("easylm/values"),
      // Maps that Flax never writes.
      PackedMap({{PackedStr("a"), "\x01"}}) + "\x01",
      PackedMap({{PackedStr("a"), PackedExt(9, "\x93\x01\x01\x01")}}),
      PackedMap({{PackedStr("a"), PackedExt(1, "\x01")}}),
      PackedMap({{"\xc0", "\x01"}}),
      PackedMap({{"\xa1\xff", "\x01"}}),
  };
  for (const std::string& other : others) {
    EXPECT_FALSE(FlaxFormat().Detect(*MemorySourceTree(other))) << absl::CHexEscape(other);
  }
}

}  // namespace
}  // namespace cairn::testing
