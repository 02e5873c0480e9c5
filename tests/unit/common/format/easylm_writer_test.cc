#include "common/format/easylm/easylm_writer.h"

#include <limits>

#include "common/format/easylm/easylm_format.h"
#include "tests/attacks/easylm_attacks.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/format/easylm_files.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

KeyPath Path(const std::string& shown) { return KeyPath::Parse(shown).value(); }

Content OneTensor(Dtype dtype = Dtype::kUint8) {
  Content content;
  content.AddTensor(Path("a/b"), dtype, {4}, std::string(4 * static_cast<size_t>(BitWidth(dtype)) / 8, 'x'));
  return content;
}

Value Container(Value::Kind kind, uint64_t length = 0) {
  Value value;
  value.kind = kind;
  value.length = length;
  return value;
}

class EasyLmGoldenWriter : public ::testing::TestWithParam<std::pair<std::string, uint64_t>> {};

// The proof that EasyLM's own loop, over the same tree in the same order, writes the same bytes.
TEST_P(EasyLmGoldenWriter, WritesTheBytesThatFlaxWrote) {
  const auto& [name, max_chunk_bytes] = GetParam();
  const std::string golden = GoldenBytes(name);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, EasyLmFormat().Open(MemorySourceTree(golden), {}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Content content, ReadContent(*reader));
  for (const size_t piece : {size_t{1}, size_t{64}, size_t{1} << 20}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::string written,
                               WriteContent(content, {}, {.max_chunk_bytes = max_chunk_bytes}, piece));
    const auto [differs, unused] = std::mismatch(written.begin(), written.end(), golden.begin(), golden.end());
    EXPECT_TRUE(written == golden) << "differ at " << differs - written.begin();
  }
}

INSTANTIATE_TEST_SUITE_P(Files, EasyLmGoldenWriter,
                         ::testing::Values(std::pair("streaming_params", kFlaxMaxChunkBytes),
                                           std::pair("streaming_train_state", kFlaxMaxChunkBytes),
                                           std::pair("dtypes", kFlaxMaxChunkBytes), std::pair("values", kFlaxMaxChunkBytes),
                                           std::pair("native_containers", kFlaxMaxChunkBytes), std::pair("chunked", 64u)),
                         [](const auto& test) { return test.param.first; });

TEST(EasyLmWriter, KeepsTheOrderOfTheIndexWithValuesInBetween) {
  Content content;
  content.Add(Entry::OfValue(Path("z"), Value::Int(1)));
  content.AddTensor(Path("m"), Dtype::kUint8, {2}, "mm");
  content.Add(Entry::OfValue(Path("y"), Value::Int(2)));
  content.AddTensor(Path("a"), Dtype::kUint8, {}, "a");
  content.Add(Entry::OfValue(Path("b"), Value::Int(3)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string file, WriteContent(content));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, EasyLmFormat().Open(MemorySourceTree(file), {}));
  std::vector<std::string> keys;
  for (const Entry& entry : reader->index().entries) keys.push_back(entry.path.ToString());
  EXPECT_EQ(keys, (std::vector<std::string>{"z", "m", "y", "a", "b"}));
}

TEST(EasyLmWriter, WritesPositionsAsFlaxStateDictsDo) {
  Content content;
  content.Add(Entry::OfValue(Path("layers"), Container(Value::Kind::kList, 2)));
  content.AddTensor(Path("layers/[0]"), Dtype::kUint8, {1}, "x");
  content.AddTensor(Path("layers/[1]"), Dtype::kUint8, {1}, "y");
  content.Add(Entry::OfValue(Path("pair"), Container(Value::Kind::kTuple, 1)));
  content.Add(Entry::OfValue(Path("pair/[0]"), Value::Int(5)));
  content.Add(Entry::OfValue(Path("none"), Container(Value::Kind::kTuple)));
  content.Add(Entry::OfValue(Path("empty"), Container(Value::Kind::kDict)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string file, WriteContent(content));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, EasyLmFormat().Open(MemorySourceTree(file), {}));
  std::vector<KeyPath> keys;
  for (const Entry& entry : reader->index().entries) keys.push_back(entry.path);
  EXPECT_EQ(keys, (std::vector<KeyPath>{KeyPath::Of({"layers", "0"}), KeyPath::Of({"layers", "1"}), KeyPath::Of({"pair", "0"})}));
}

TEST(EasyLmWriter, RefusesAPositionThatCollidesWithAName) {
  Content content;
  content.AddTensor(Path("layers/[7]"), Dtype::kUint8, {1}, "x");
  content.AddTensor(Path("layers/7"), Dtype::kUint8, {1}, "y");
  EXPECT_THAT(WriteContent(content), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("layers/7")));
  content.index.entries[1].path = Path("layers/7/kernel");
  EXPECT_THAT(WriteContent(content), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("layers/7/kernel")));
}

TEST(EasyLmWriter, RefusesWhatTheFormatCannotHoldUnlessToldToDropIt) {
  Content content = OneTensor();
  Value tuple = Container(Value::Kind::kTuple);
  tuple.items.push_back(Value::Int(1));
  Value huge = Container(Value::Kind::kBigInt);
  huge.text = "340282366920938463463374607431768211456";
  content.Add(Entry::Asset(Path("config.json"), 2), "{}");
  content.Add(Entry::Alias(Path("tied"), Path("a/b")));
  content.Add(Entry::OfValue(Path("tuple"), tuple));
  content.Add(Entry::OfValue(Path("huge"), huge));
  content.Add(Entry::OfValue(Path("kept"), Value::Int(1)));
  EXPECT_THAT(WriteContent(content), StatusIs(absl::StatusCode::kInvalidArgument,
                                              AllOf(HasSubstr("\"config.json\": "), HasSubstr("\"tied\": "),
                                                    HasSubstr("\"tuple\": "), HasSubstr("\"huge\": "), Not(HasSubstr("kept")))));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string file, WriteContent(content, {.drop_unsupported = true}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, EasyLmFormat().Open(MemorySourceTree(file), {}));
  EXPECT_EQ(reader->index().entries.size(), 2u);
}

TEST(EasyLmWriter, NeverDropsATensor) {
  for (const WriteOptions& options : {WriteOptions{}, WriteOptions{.drop_unsupported = true}}) {
    Content packed;
    packed.AddTensor(Path("w"), Dtype::kF4Packed, {4}, "xx");
    EXPECT_THAT(WriteContent(packed, options),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("\"w\""), HasSubstr(std::string(DtypeName(Dtype::kF4Packed))))));
    Content rootless;
    rootless.AddTensor(KeyPath(), Dtype::kUint8, {1}, "x");
    EXPECT_THAT(WriteContent(rootless, options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the empty key")));
    Content no_text;
    no_text.AddTensor(KeyPath::Of({"\xff"}), Dtype::kUint8, {1}, "x");
    EXPECT_THAT(WriteContent(no_text, options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no UTF-8")));
  }
}

TEST(EasyLmWriter, RefusesAValueThatNoBinCanHoldBeforeItWrites) {
  // The largest that fits, and one byte more.
  Content content = OneTensor();
  const uint64_t bin_bytes = LayOutFlaxArray(Dtype::kUint8, {4}).value().total_bytes;
  CAIRN_EXPECT_OK(WriteContent(content, {}, {.max_bin_bytes = bin_bytes}));
  EXPECT_THAT(WriteContent(content, {}, {.max_bin_bytes = bin_bytes - 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("\"a/b\""), HasSubstr("smaller dtype"))));

  // The real limit, in Begin(): no byte is at hand, and none is asked for.
  for (const int64_t extent : {int64_t{0xffffffff}, int64_t{1} << 32, int64_t{1} << 60}) {
    CheckpointIndex index;
    index.entries.push_back(Entry::Tensor(Path("embedding"), Dtype::kUint8, {extent}, static_cast<uint64_t>(extent)));
    std::string file = "untouched";
    CAIRN_ASSERT_OK_AND_ASSIGN(auto writer, CreateEasyLmWriter(std::make_shared<MemorySinkTree>(&file), {}));
    EXPECT_THAT(writer->Begin(index), StatusIs(absl::StatusCode::kInvalidArgument,
                                               AllOf(HasSubstr("\"embedding\""), HasSubstr("4294967295"))));
    EXPECT_EQ(file, "untouched");
  }
  CheckpointIndex large;
  large.entries.push_back(Entry::Tensor(Path("embedding"), Dtype::kUint8, {0xfffffe00}, 0xfffffe00));
  std::string file;
  CAIRN_ASSERT_OK_AND_ASSIGN(auto writer, CreateEasyLmWriter(std::make_shared<MemorySinkTree>(&file), {}));
  CAIRN_EXPECT_OK(writer->Begin(large));
}

TEST(EasyLmWriter, RefusesMoreOrFewerBytesThanTheEntryHas) {
  Content content = OneTensor();
  content.bytes[0] = "xxxxx";
  EXPECT_THAT(WriteContent(content), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"a/b\": 1 bytes more than its 4")));
  content.bytes[0] = "xxx";
  EXPECT_THAT(WriteContent(content), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 4 bytes, found 3")));
}

TEST(EasyLmWriter, RefusesCallsOutOfTurn) {
  Content content = OneTensor();
  content.AddTensor(Path("c"), Dtype::kUint8, {1}, "c");
  std::string file = "untouched";
  CAIRN_ASSERT_OK_AND_ASSIGN(auto writer, CreateEasyLmWriter(std::make_shared<MemorySinkTree>(&file), {}));
  EXPECT_THAT(writer->StartEntry(0), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(writer->Finish(), StatusIs(absl::StatusCode::kFailedPrecondition));
  CAIRN_ASSERT_OK(writer->Begin(content.index));
  EXPECT_THAT(writer->Append("x"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(writer->FinishEntry(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(writer->StartEntry(1), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(writer->Finish(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"a/b\"")));
  EXPECT_EQ(file, "untouched");
}

TEST(EasyLmWriter, RefusesACheckpointWithoutEntries) {
  Content empty;
  EXPECT_THAT(WriteContent(empty), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no entry to write")));
  empty.Add(Entry::OfValue(Path("opt_state"), Container(Value::Kind::kTuple)));
  EXPECT_THAT(WriteContent(empty), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no entry to write")));
}

TEST(EasyLmWriter, RefusesToWriteTheVariantThatPicks) {
  std::string file;
  EXPECT_THAT(EasyLmFormat().Create(std::make_shared<MemorySinkTree>(&file), {.variant = "trainstate_params"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("params::")));
}

}  // namespace
}  // namespace cairn::testing
