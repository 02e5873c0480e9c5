#include "common/format/safetensors/safetensors_writer.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/common/format/safetensors_files.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

TEST(SafetensorsWriter, WritesTheBytesOfTheReference) {
  // The example of FORMAT.md.
  TempDir dir;
  Checkpoint checkpoint;
  checkpoint.Tensor("attn.0", Dtype::kFloat32, {1, 2, 3});
  CAIRN_ASSERT_OK(WriteSafetensors(checkpoint, dir / "f"));
  EXPECT_EQ(ReadFile(dir / "f"), std::string("\x40\0\0\0\0\0\0\0", 8) +
                                     R"({"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}})" +
                                     std::string(24, 'x'));
  CAIRN_ASSERT_OK(WriteSafetensors({}, dir / "empty"));
  EXPECT_EQ(ReadFile(dir / "empty"), std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
}

TEST(SafetensorsWriter, OrdersByAlignmentThenName) {
  TempDir dir;
  Checkpoint checkpoint;
  checkpoint.Tensor("flag", Dtype::kBool, {1}, '\1')
      .Tensor("b", Dtype::kFloat32, {1})
      .Tensor("half", Dtype::kFloat16, {1})
      .Tensor("a", Dtype::kFloat32, {1})
      .Tensor("brain", Dtype::kBfloat16, {1})
      .Tensor("step", Dtype::kInt64, {});
  CAIRN_ASSERT_OK(WriteSafetensors(checkpoint, dir / "f"));
  EXPECT_THAT(Describe(ReadSafetensors(dir / "f").value()),
              ElementsAre("step int64 []", "a float32 [1]", "b float32 [1]", "brain bfloat16 [1]",
                          "half float16 [1]", "flag bool [1]"));
}

TEST(SafetensorsWriter, KeepsMetadataAndAddsNone) {
  TempDir dir;
  Checkpoint checkpoint;
  checkpoint.Tensor("a", Dtype::kUint8, {1});
  CAIRN_ASSERT_OK(WriteSafetensors(checkpoint, dir / "plain"));
  EXPECT_THAT(ReadSafetensors(dir / "plain").value().index.metadata, IsEmpty());
  checkpoint.index.metadata = {{"format", "pt"}, {"note", "\"\n\xc3\xa9"}};
  CAIRN_ASSERT_OK(WriteSafetensors(checkpoint, dir / "told"));
  EXPECT_THAT(ReadSafetensors(dir / "told").value().index.metadata,
              ElementsAre(Pair("format", "pt"), Pair("note", "\"\n\xc3\xa9")));
  checkpoint.index.metadata = {{"bad", "\xff"}};
  EXPECT_THAT(WriteSafetensors(checkpoint, dir / "bad"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"bad\"")));
}

TEST(SafetensorsWriter, CutsShardsInTheOrderOfTheIndex) {
  TempDir dir;
  Checkpoint checkpoint;
  checkpoint.Tensor("d", Dtype::kUint8, {60}, 'd')
      .Tensor("c", Dtype::kUint8, {40}, 'c')
      .Tensor("large", Dtype::kUint8, {250}, 'l')
      .Tensor("b", Dtype::kUint8, {100}, 'b')
      .Tensor("nothing", Dtype::kUint8, {0})
      .Tensor("a", Dtype::kUint8, {1}, 'a');
  checkpoint.index.metadata = {{"format", "pt"}};
  CAIRN_ASSERT_OK(WriteSafetensors(checkpoint, dir / "out", {.max_shard_bytes = 100}));
  EXPECT_THAT(Walk(dir / "out"),
              ElementsAre("model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
                          "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors",
                          "model.safetensors.index.json"));
  EXPECT_THAT(Describe(ReadSafetensors(dir / "out/model-00001-of-00004.safetensors").value()),
              ElementsAre("c uint8 [40]", "d uint8 [60]"));
  EXPECT_THAT(Describe(ReadSafetensors(dir / "out/model-00003-of-00004.safetensors").value()),
              ElementsAre("b uint8 [100]", "nothing uint8 [0]"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Checkpoint last,
                             ReadSafetensors(dir / "out/model-00004-of-00004.safetensors"));
  EXPECT_THAT(last.index.metadata, ElementsAre(Pair("format", "pt")));
  EXPECT_EQ(ReadFile(dir / "out/model.safetensors.index.json"), R"({
  "metadata": {
    "total_size": 451
  },
  "weight_map": {
    "a": "model-00004-of-00004.safetensors",
    "b": "model-00003-of-00004.safetensors",
    "c": "model-00001-of-00004.safetensors",
    "d": "model-00001-of-00004.safetensors",
    "large": "model-00002-of-00004.safetensors",
    "nothing": "model-00003-of-00004.safetensors"
  }
}
)");
}

TEST(SafetensorsWriter, ChoosesAFileOrAFolderByPathAssetsAndShards) {
  TempDir dir;
  std::filesystem::create_directory(dir / "there");
  Checkpoint plain;
  plain.Tensor("a", Dtype::kUint8, {1});
  Checkpoint with_asset = plain;
  with_asset.Asset(KeyPath::Of({"config.json"}), "{}");

  CAIRN_ASSERT_OK(WriteSafetensors(plain, dir / "file"));
  CAIRN_ASSERT_OK(WriteSafetensors(plain, dir / "slash/"));
  CAIRN_ASSERT_OK(WriteSafetensors(plain, dir / "there"));
  CAIRN_ASSERT_OK(WriteSafetensors(plain, dir / "one-shard", {.max_shard_bytes = 100}));
  CAIRN_ASSERT_OK(WriteSafetensors(with_asset, dir / "assets"));
  EXPECT_THAT(Walk(dir.path()), ElementsAre("assets", "assets/config.json", "assets/model.safetensors",
                                            "file", "one-shard", "one-shard/model.safetensors", "slash",
                                            "slash/model.safetensors", "there", "there/model.safetensors"));
}

TEST(SafetensorsWriter, DoesNotPutAssetsBesideAPathThatIsNamedLikeAFile) {
  TempDir dir;
  Checkpoint checkpoint;
  checkpoint.Tensor("a", Dtype::kUint8, {1}).Asset(KeyPath::Of({"config.json"}), "{}");
  EXPECT_THAT(
      WriteSafetensors(checkpoint, dir / "m.safetensors"),
      StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("config.json"), HasSubstr("end in '/'"))));
  CAIRN_ASSERT_OK(WriteSafetensors(checkpoint, dir / "m.safetensors", {.drop_unsupported = true}));
  EXPECT_THAT(Describe(ReadSafetensors(dir / "m.safetensors").value()), ElementsAre("a uint8 [1]"));
}

TEST(SafetensorsWriter, RefusesAssetsThatWouldBeTakenForWeightsOrLeaveTheFolder) {
  TempDir dir;
  for (const KeyPath& path :
       {KeyPath::Of({"model.safetensors"}), KeyPath::Of({"model.safetensors.index.json"}),
        KeyPath::Of({"..", "config.json"}), KeyPath::Of({"/etc/config.json"})}) {
    Checkpoint checkpoint;
    checkpoint.Tensor("a", Dtype::kUint8, {1}).Asset(path, "{}");
    EXPECT_THAT(WriteSafetensors(checkpoint, dir / "out/"), StatusIs(absl::StatusCode::kInvalidArgument))
        << path.ToString();
  }
  EXPECT_THAT(Walk(dir.path()), IsEmpty());
}

TEST(SafetensorsWriter, NamesWhatItCannotHoldAndSaysWhatToDo) {
  TempDir dir;
  Checkpoint checkpoint;
  checkpoint.Tensor("a", Dtype::kUint8, {1})
      .Tensor("small", Dtype::kFloat8E3M4, {1})
      .Tensor("spin", Dtype::kComplex128, {1})
      .Other(Entry::OfValue(KeyPath::Of({"step"}), Value::Int(3)))
      .Other(Entry::Alias(KeyPath::Of({"tied"}), KeyPath::Of({"a"})));
  EXPECT_THAT(WriteSafetensors(checkpoint, dir / "f"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("4 entries"),
                             HasSubstr("\"small\" has dtype float8_e3m4, which safetensors lacks: cast it"),
                             HasSubstr("\"spin\" has dtype complex128"), HasSubstr("\"step\" is a value"),
                             HasSubstr("\"tied\" is an alias of \"a\""), HasSubstr("drop"))));
  CAIRN_ASSERT_OK(WriteSafetensors(checkpoint, dir / "f", {.drop_unsupported = true}));
  EXPECT_THAT(Describe(ReadSafetensors(dir / "f").value()), ElementsAre("a uint8 [1]"));
}

TEST(SafetensorsWriter, ShowsTheFirstOfManyProblems) {
  TempDir dir;
  Checkpoint checkpoint;
  for (int i = 0; i < 100; ++i)
    checkpoint.Other(Entry::OfValue(KeyPath::Of({"v" + std::to_string(i)}), Value::None()));
  EXPECT_THAT(WriteSafetensors(checkpoint, dir / "f"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("100 entries"), HasSubstr("\"v4\""), Not(HasSubstr("\"v5\"")))));
}

TEST(SafetensorsWriter, JoinsPathsWithTheSeparator) {
  TempDir dir;
  Checkpoint checkpoint;
  checkpoint.Tensor(KeyPath({std::string("opt"), int64_t{3}, std::string("mu")}), Dtype::kUint8, {1})
      .Tensor(KeyPath::Of({"opt", "a.b"}), Dtype::kUint8, {2});
  CAIRN_ASSERT_OK(WriteSafetensors(checkpoint, dir / "dots"));
  EXPECT_THAT(Describe(ReadSafetensors(dir / "dots").value()),
              ElementsAre("opt.3.mu uint8 [1]", "opt.a.b uint8 [2]"));
  CAIRN_ASSERT_OK(WriteSafetensors(checkpoint, dir / "bars", {.separator = "|"}));
  EXPECT_THAT(Describe(ReadSafetensors(dir / "bars").value()),
              ElementsAre("opt|3|mu uint8 [1]", "opt|a.b uint8 [2]"));
}

TEST(SafetensorsWriter, RefusesNamesThatDoNotWork) {
  TempDir dir;
  const auto refuse = [&](const std::vector<KeyPath>& paths, const std::string& message) {
    Checkpoint checkpoint;
    for (const KeyPath& path : paths) checkpoint.Tensor(path, Dtype::kUint8, {1});
    EXPECT_THAT(WriteSafetensors(checkpoint, dir / "f"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  refuse({KeyPath::Of({"a", "b"}), KeyPath::Of({"a.b"})}, "\"a.b\" and \"a/b\" are both named \"a.b\"");
  refuse({KeyPath({std::string("a"), int64_t{1}}), KeyPath::Of({"a", "1"})}, "are both named \"a.1\"");
  refuse({KeyPath::Of({"__metadata__"})}, "keeps for its metadata");
  refuse({KeyPath::Of({"\xff"})}, "not UTF-8");
  refuse({KeyPath()}, "root of the tree");
  EXPECT_THAT(Walk(dir.path()), IsEmpty());
}

TEST(SafetensorsWriter, RefusesAnEntryWhoseSizeIsNotThatOfItsShape) {
  TempDir dir;
  Checkpoint checkpoint;
  checkpoint.Other(Entry::Tensor(KeyPath::Of({"a"}), Dtype::kFloat32, {2}, 7));
  EXPECT_THAT(WriteSafetensors(checkpoint, dir / "f"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has 7 bytes, expected 8")));
}

TEST(SafetensorsWriter, AFolderThatHeldAnotherCheckpointReadsAsTheNewOne) {
  TempDir dir;
  Checkpoint old_one;
  old_one.Tensor("old1", Dtype::kUint8, {10}).Tensor("old2", Dtype::kUint8, {10});
  Checkpoint new_one;
  new_one.Tensor("new1", Dtype::kUint8, {10})
      .Tensor("new2", Dtype::kUint8, {10})
      .Tensor("new3", Dtype::kUint8, {10});

  CAIRN_ASSERT_OK(WriteSafetensors(old_one, dir / "a", {.max_shard_bytes = 10}));
  CAIRN_ASSERT_OK(WriteSafetensors(new_one, dir / "a", {}, /*overwrite=*/true));
  EXPECT_EQ(ReadSafetensors(dir / "a").value().index.entries.size(), 3u);

  CAIRN_ASSERT_OK(WriteSafetensors(old_one, dir / "b/"));
  CAIRN_ASSERT_OK(WriteSafetensors(new_one, dir / "b", {.max_shard_bytes = 10}, /*overwrite=*/true));
  EXPECT_EQ(ReadSafetensors(dir / "b").value().index.entries.size(), 3u);

  CAIRN_ASSERT_OK(WriteSafetensors(old_one, dir / "c/"));
  CAIRN_ASSERT_OK(WriteSafetensors(new_one, dir / "c", {}, /*overwrite=*/true));
  EXPECT_EQ(ReadSafetensors(dir / "c").value().index.entries.size(), 3u);
  EXPECT_THAT(Walk(dir / "c"), ElementsAre("model.safetensors"));
}

TEST(SafetensorsWriter, RefusesCallsOutOfOrder) {
  TempDir dir;
  Checkpoint checkpoint;
  checkpoint.Tensor("a", Dtype::kUint8, {1}).Tensor("b", Dtype::kUint8, {1});
  CAIRN_ASSERT_OK_AND_ASSIGN(std::shared_ptr<SinkTree> sink, CreateSinkTree(dir / "f"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, SafetensorsFormat().Create(sink, {}));
  EXPECT_THAT(writer->Finish(), StatusIs(absl::StatusCode::kFailedPrecondition));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<size_t> order, writer->Begin(checkpoint.index));
  EXPECT_THAT(order, ElementsAre(0u, 1u));
  EXPECT_THAT(writer->StartEntry(1), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(writer->Append("x"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(writer->FinishEntry(), StatusIs(absl::StatusCode::kFailedPrecondition));
  CAIRN_EXPECT_OK(writer->StartEntry(0));
  EXPECT_THAT(writer->Finish(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace cairn::testing
