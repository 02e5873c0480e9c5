#include "common/format/flax/flax_writer.h"

#include <algorithm>

#include "tests/attacks/flax_attacks.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/format/flax_files.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

KeyPath Path(const std::string& shown) { return KeyPath::Parse(shown).value(); }

Value Container(Value::Kind kind, uint64_t length = 0) {
  Value value;
  value.kind = kind;
  value.length = length;
  return value;
}

Content OneTensor() {
  Content content;
  content.AddTensor(Path("a/b"), Dtype::kUint8, {4}, "xxxx");
  return content;
}

class FlaxGoldenWriter : public ::testing::TestWithParam<std::pair<std::string, uint64_t>> {};

// The proof that Flax, over the same tree in the same order, writes the same bytes.
TEST_P(FlaxGoldenWriter, WritesTheBytesThatFlaxWrote) {
  const auto& [name, max_chunk_bytes] = GetParam();
  const std::string golden = GoldenFlax(name);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenFlaxBytes(golden));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Content content, ReadContent(*reader));
  for (const size_t piece : {size_t{1}, size_t{64}, size_t{1} << 20}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::string written,
                               WriteFlax(content, {}, {.max_chunk_bytes = max_chunk_bytes}, piece));
    const auto [differs, unused] = std::mismatch(written.begin(), written.end(), golden.begin(), golden.end());
    EXPECT_TRUE(written == golden) << "differ at " << differs - written.begin();
  }
}

INSTANTIATE_TEST_SUITE_P(Files, FlaxGoldenWriter,
                         ::testing::Values(std::pair("params", kFlaxMaxChunkBytes),
                                           std::pair("train_state", kFlaxMaxChunkBytes),
                                           std::pair("dtypes", kFlaxMaxChunkBytes),
                                           std::pair("values", kFlaxMaxChunkBytes),
                                           std::pair("native", kFlaxMaxChunkBytes), std::pair("chunked", 64u),
                                           std::pair("list_is_not_chunked", 64u)),
                         [](const auto& test) { return test.param.first; });

TEST(FlaxWriter, GathersWhatBelongsToOneDict) {
  Content content;
  content.Add(Entry::OfValue(Path("z"), Value::Int(1)));
  content.AddTensor(Path("m/y"), Dtype::kUint8, {1}, "y");
  content.AddTensor(Path("a"), Dtype::kUint8, {1}, "a");
  content.Add(Entry::OfValue(Path("m/x/w"), Value::Int(2)));
  content.AddTensor(Path("m/b"), Dtype::kUint8, {1}, "b");
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string file, WriteFlax(content));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenFlaxBytes(file));
  EXPECT_EQ(ShownPaths(*reader), (std::vector<std::string>{"z", "m/y", "m/x/w", "m/b", "a"}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Content read, ReadContent(*reader));
  EXPECT_EQ(read.bytes, (std::vector<std::string>{"", "y", "", "b", "a"}));
}

TEST(FlaxWriter, WritesListsAsArraysAndTuplesAsStateDictsDo) {
  Content content;
  // Not in the order of their positions.
  content.Add(Entry::OfValue(Path("list"), Container(Value::Kind::kList, 2)));
  content.AddTensor(Path("list/[1]"), Dtype::kUint8, {1}, "y");
  content.AddTensor(Path("list/[0]/k"), Dtype::kUint8, {1}, "x");
  content.Add(Entry::OfValue(Path("pair"), Container(Value::Kind::kTuple, 2)));
  content.Add(Entry::OfValue(Path("pair/[0]"), Value::Int(5)));
  content.AddTensor(Path("pair/[1]"), Dtype::kUint8, {1}, "z");
  content.Add(Entry::OfValue(Path("none"), Container(Value::Kind::kTuple)));
  content.Add(Entry::OfValue(Path("[7]"), Value::None()));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string file, WriteFlax(content));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenFlaxBytes(file));
  EXPECT_EQ(ShownPaths(*reader),
            (std::vector<std::string>{"list", "list/[0]/k", "list/[1]", "pair/0", "pair/1", "none", "[7]"}));
  EXPECT_EQ(reader->index().entries[5].value->kind, Value::Kind::kDict);
}

TEST(FlaxWriter, ATreeWhoseRootIsAListIsAMapOfPositions) {
  for (const Value::Kind kind : {Value::Kind::kList, Value::Kind::kTuple}) {
    Content content;
    content.Add(Entry::OfValue(KeyPath(), Container(kind, 1)));
    content.AddTensor(Path("[0]"), Dtype::kUint8, {1}, "x");
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::string file, WriteFlax(content));
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenFlaxBytes(file));
    EXPECT_EQ(ShownPaths(*reader), (std::vector<std::string>{"0"}));
  }
}

TEST(FlaxWriter, RefusesAListThatLacksItems) {
  Content content;
  content.Add(Entry::OfValue(Path("list"), Container(Value::Kind::kList, 2)));
  content.AddTensor(Path("list/[0]"), Dtype::kUint8, {1}, "x");
  EXPECT_THAT(WriteFlax(content), StatusIs(absl::StatusCode::kInvalidArgument,
                                           AllOf(HasSubstr("\"list\""), HasSubstr("a list of 2 items"))));
  content.AddTensor(Path("list/1"), Dtype::kUint8, {1}, "x");
  EXPECT_THAT(WriteFlax(content), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"list\"")));
}

TEST(FlaxWriter, CutsNoArrayBelowAList) {
  Content content;
  content.Add(Entry::OfValue(Path("list"), Container(Value::Kind::kList, 1)));
  content.AddTensor(Path("list/[0]/w"), Dtype::kUint8, {100}, std::string(100, 'x'));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string file, WriteFlax(content, {}, {.max_chunk_bytes = 10}));
  EXPECT_THAT(file, Not(HasSubstr("__msgpack_chunked_array__")));
  // What no ext can hold is refused before a byte is asked for.
  EXPECT_THAT(
      WriteFlax(content, {}, {.max_ext_bytes = 4196}),
      StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("\"list/[0]/w\""), HasSubstr("inside a list"))));
}

TEST(FlaxWriter, WritesANumpyScalarWhereTheMetadataNamesOne) {
  Content content;
  content.AddTensor(Path("a"), Dtype::kUint8, {}, "x");
  content.AddTensor(Path("b"), Dtype::kUint8, {}, "y");
  content.AddTensor(Path("c"), Dtype::kUint8, {1}, "z");
  content.index.metadata["flax.numpy_scalars"] = "b\nc\nno such entry";
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string file, WriteFlax(content));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenFlaxBytes(file));
  EXPECT_EQ(reader->index().metadata.at("flax.numpy_scalars"), "b");
}

TEST(FlaxWriter, ATreeWithoutEntriesIsAnEmptyMap) {
  EXPECT_EQ(WriteFlax(Content()).value(), "\x80");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenFlaxBytes("\x80"));
  EXPECT_TRUE(reader->index().entries.empty());
}

TEST(FlaxWriter, RefusesWhatTheFormatCannotHoldUnlessToldToDropIt) {
  Content content = OneTensor();
  Value tuple = Container(Value::Kind::kTuple);
  tuple.items.push_back(Value::Int(1));
  Value huge = Container(Value::Kind::kBigInt);
  huge.text = "340282366920938463463374607431768211456";
  content.Add(Entry::Alias(Path("tied"), Path("a/b")));
  content.Add(Entry::OfValue(Path("tuple"), tuple));
  content.Add(Entry::OfValue(Path("huge"), huge));
  content.Add(Entry::OfValue(Path("place"), Value::String("//GDAPlaceholder:x")));
  content.Add(Entry::OfValue(Path("kept"), Value::Int(1)));
  EXPECT_THAT(WriteFlax(content),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("\"tied\": "), HasSubstr("\"tuple\": "), HasSubstr("\"huge\": "),
                             HasSubstr("\"place\": "), Not(HasSubstr("kept")))));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string file, WriteFlax(content, {.drop_unsupported = true}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, OpenFlaxBytes(file));
  EXPECT_EQ(ShownPaths(*reader), (std::vector<std::string>{"a/b", "kept"}));
}

TEST(FlaxWriter, NeverDropsATensor) {
  for (const WriteOptions& options : {WriteOptions{}, WriteOptions{.drop_unsupported = true}}) {
    Content packed;
    packed.AddTensor(Path("w"), Dtype::kF4Packed, {4}, "xx");
    EXPECT_THAT(WriteFlax(packed, options),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("\"w\""), HasSubstr(std::string(DtypeName(Dtype::kF4Packed))))));
    Content rootless;
    rootless.AddTensor(KeyPath(), Dtype::kUint8, {1}, "x");
    EXPECT_THAT(WriteFlax(rootless, options),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a leaf without a name")));
    for (const auto& [key, message] :
         {std::pair("\xff", "no UTF-8"), std::pair("__msgpack_chunked_array__", "marks chunked arrays")}) {
      Content odd;
      odd.AddTensor(KeyPath::Of({key}), Dtype::kUint8, {1}, "x");
      EXPECT_THAT(WriteFlax(odd, options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
    }
    Content deep;
    deep.AddTensor(KeyPath::Of(std::vector<std::string>(65, "a")), Dtype::kUint8, {1}, "x");
    EXPECT_THAT(WriteFlax(deep, options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("65 levels")));
  }
}

TEST(FlaxWriter, WhatItWritesAtItsDeepestItReads) {
  Content deep;
  deep.AddTensor(KeyPath::Of(std::vector<std::string>(64, "a")), Dtype::kUint8, {1}, "x");
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string file, WriteFlax(deep));
  CAIRN_EXPECT_OK(OpenFlaxBytes(file));
}

TEST(FlaxWriter, RefusesCallsOutOfTurn) {
  Content content = OneTensor();
  content.AddTensor(Path("c"), Dtype::kUint8, {1}, "c");
  std::string file = "untouched";
  const auto writer = CreateFlaxWriter(std::make_shared<MemorySinkTree>(&file), {});
  EXPECT_THAT(writer->StartEntry(0), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(writer->Finish(), StatusIs(absl::StatusCode::kFailedPrecondition));
  CAIRN_ASSERT_OK(writer->Begin(content.index));
  EXPECT_THAT(writer->Append("x"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(writer->FinishEntry(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(writer->StartEntry(1), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(writer->Finish(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("\"a/b\"")));
  EXPECT_EQ(file, "untouched");
}

TEST(FlaxWriter, SameInputSameBytes) {
  Content content;
  for (int i = 0; i < 200; ++i) content.AddTensor(Path(absl::StrCat("d", i % 17, "/", i)), Dtype::kUint8, {1}, "x");
  EXPECT_EQ(WriteFlax(content).value(), WriteFlax(content, {}, {}, 1).value());
  EXPECT_EQ(WriteFlax(OneTensor()).value(), absl::StrCat("\x81\xa1", "a\x81\xa1", "b",
                                                         absl::HexStringToBytes("c70f0193"
                                                                                "91"
                                                                                "04"
                                                                                "a575696e7438"
                                                                                "c404"),
                                                         "xxxx"));
}

}  // namespace
}  // namespace cairn::testing
