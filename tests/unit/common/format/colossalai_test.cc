#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/format/all_formats.h"
#include "common/format/colossalai/colossalai_format.h"
#include "common/format/colossalai/colossalai_named.h"
#include "common/format/colossalai/colossalai_names.h"
#include "common/format/colossalai/colossalai_plan.h"
#include "common/format/folder/one_file_tree.h"
#include "common/io/memory_io.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

TEST(ColossalAiShardNames, AreKnownByTheirNumbersWithoutATotal) {
  for (const char* const name : {"pytorch_model-00001.bin", "model-00012.safetensors", "pytorch_model.ema-00001.bin",
                                 "pytorch_model-stage-00001-shard-00001.bin", "model.a.b-stage-00002-shard-00010.safetensors"}) {
    const auto shard = ParseColossalAiShardName(name);
    ASSERT_TRUE(shard.has_value()) << name;
    EXPECT_EQ(shard->part, ColossalAiPart::kModel) << name;
    EXPECT_FALSE(shard->experts) << name;
  }
  for (const char* const name : {"pytorch_optim-00001.bin", "optimizer-00001.safetensors", "pytorch_optim-stage-00001-shard-00001.bin"}) {
    ASSERT_TRUE(ParseColossalAiShardName(name).has_value()) << name;
    EXPECT_EQ(ParseColossalAiShardName(name)->part, ColossalAiPart::kOptimizer) << name;
  }
  EXPECT_TRUE(ParseColossalAiShardName("pytorch_model-stage-00001-00003-shard-00001.bin")->experts);
  for (const char* const name : {"pytorch_model-00001-of-00002.bin", "model-00001-of-00002.safetensors", "model.fp16-00001-of-00002.safetensors",
                                 "pytorch_model.bin", "model.safetensors", "pytorch_model-1.bin", "other-00001.bin", "model-00001.bin",
                                 "pytorch_model-00001.safetensors", "pytorch_model-shard-00001.bin", "modelx-00001.safetensors", ""}) {
    EXPECT_FALSE(ParseColossalAiShardName(name).has_value()) << name;
  }
}

TEST(ColossalAiIndexNames, HaveTheirPrefixBeforeTheLastPart) {
  EXPECT_EQ(ColossalAiIndexPart("pytorch_model.bin.index.json"), ColossalAiPart::kModel);
  EXPECT_EQ(ColossalAiIndexPart("model.safetensors.index.ema.json"), ColossalAiPart::kModel);
  EXPECT_EQ(ColossalAiIndexPart("pytorch_optim.bin.index.json"), ColossalAiPart::kOptimizer);
  EXPECT_EQ(ColossalAiIndexPart("optimizer.safetensors.index.json"), ColossalAiPart::kOptimizer);
  for (const char* const name : {"flax_model.msgpack.index.json", "pytorch_model.bin", "tokenizer.json", "model.safetensors.index.emajson"}) {
    EXPECT_FALSE(ColossalAiIndexPart(name).has_value()) << name;
  }
}

TEST(ColossalAiIndex, IsTheTextThatPythonWrites) {
  ColossalAiIndexFile index{.name = "x", .group = "g.bin", .total_bytes = 1536, .weights = {{"b\"", "f1"}, {"a", "f2"}}};
  EXPECT_EQ(SerializeColossalAiIndex(index),
            "{\n  \"metadata\": {\n    \"param_groups\": \"g.bin\",\n    \"total_size\": 0.00146484375\n  },\n"
            "  \"weight_map\": {\n    \"b\\\"\": \"f1\",\n    \"a\": \"f2\"\n  }\n}\n");
  index.group.clear();
  index.total_bytes = 2 << 20;
  index.weights.clear();
  EXPECT_EQ(SerializeColossalAiIndex(index), "{\n  \"metadata\": {\n    \"total_size\": 2.0\n  },\n  \"weight_map\": {}\n}\n");
}

// A model of two tensors and an optimizer with a moment for each.
CheckpointIndex TrainState(Shape first_moment) {
  CheckpointIndex index;
  const auto tensor = [&](KeyPath path, Shape shape) {
    const uint64_t bytes = ByteSize(Dtype::kFloat32, shape).value();
    index.entries.push_back(Entry::Tensor(std::move(path), Dtype::kFloat32, std::move(shape), bytes));
  };
  tensor(KeyPath::Of({"model", "a"}), {2});
  tensor(KeyPath::Of({"model", "b"}), {3, 4});
  tensor(KeyPath({"optimizer", "state", 0, "exp_avg"}), std::move(first_moment));
  tensor(KeyPath({"optimizer", "state", 1, "exp_avg"}), {3, 4});
  Value mark;
  mark.kind = Value::Kind::kList;
  mark.length = 1;
  index.entries.push_back(Entry::OfValue(KeyPath::Of({"optimizer", "param_groups"}), mark));
  mark.length = 2;
  index.entries.push_back(Entry::OfValue(KeyPath({"optimizer", "param_groups", 0, "params"}), mark));
  for (int64_t i = 0; i < 2; ++i) index.entries.push_back(Entry::OfValue(KeyPath({"optimizer", "param_groups", 0, "params", i}), Value::Int(i)));
  return index;
}

TEST(ColossalAiNamed, PutsStatesUnderTheNamesOfTheModelsOrder) {
  CheckpointIndex index = TrainState({2});
  CAIRN_ASSERT_OK(NameOptimizerStates({.names = {KeyPath::Of({"a"}), KeyPath::Of({"b"})}, .unknown = ""}, "here", &index));
  EXPECT_EQ(index.entries[2].path, KeyPath::Of({"optimizer", "state", "a", "exp_avg"}));
  EXPECT_EQ(index.entries[3].path, KeyPath::Of({"optimizer", "state", "b", "exp_avg"}));
  EXPECT_TRUE(index.entries[6].value == Value::String("a"));
}

TEST(ColossalAiNamed, RefusesShapesThatDoNotAgreeWithBothNames) {
  CheckpointIndex index = TrainState({5});
  EXPECT_THAT(NameOptimizerStates({.names = {KeyPath::Of({"a"}), KeyPath::Of({"b"})}, .unknown = ""}, "here", &index),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("here"), HasSubstr("exp_avg"), HasSubstr("[5]"), HasSubstr("model/a"))));
}

TEST(ColossalAiNamed, RefusesAnOrderThatIsNotKnown) {
  CheckpointIndex index = TrainState({2});
  EXPECT_THAT(NameOptimizerStates({.names = {}, .unknown = "reasons"}, "here", &index),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("reasons")));
}

TEST(ColossalAiNamed, LeavesNumbersAloneThatAreNoIds) {
  CheckpointIndex index = TrainState({2});
  index.entries.push_back(Entry::OfValue(KeyPath({"optimizer", "param_groups", 1, "params", "x"}), Value::Int(7)));
  index.entries.push_back(Entry::OfValue(KeyPath({"model", "param_groups", 0, "params", 0}), Value::Int(8)));
  CAIRN_ASSERT_OK(NameOptimizerStates({.names = {KeyPath::Of({"a"}), KeyPath::Of({"b"})}, .unknown = ""}, "here", &index));
  EXPECT_TRUE(index.entries[8].value == Value::Int(7));
  EXPECT_TRUE(index.entries[9].value == Value::Int(8));
}

absl::Status WriteCheckpoint(const CheckpointIndex& index, const std::string& path, WriteOptions options, bool overwrite = false) {
  CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> sink, CreateSinkTree(path, {.overwrite = overwrite, .durable = false}));
  CAIRN_ASSIGN_OR_RETURN(const auto writer, ColossalAiFormat().Create(std::move(sink), options));
  CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> order, writer->Begin(index));
  for (const size_t entry : order) {
    CAIRN_RETURN_IF_ERROR(writer->StartEntry(entry).status());
    CAIRN_RETURN_IF_ERROR(writer->Append(std::string(index.entries[entry].byte_size, 'x')));
    CAIRN_RETURN_IF_ERROR(writer->FinishEntry());
  }
  return writer->Finish();
}

std::vector<std::string> FilesIn(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(std::filesystem::relative(entry.path(), folder).string());
  }
  return files;
}

TEST(ColossalAiWriter, LaysPartsOutAsTrainingScriptsDo) {
  TempDir dir;
  CAIRN_ASSERT_OK(WriteCheckpoint(TrainState({2}), dir / "out", {.max_shard_bytes = 32}));
  EXPECT_THAT(FilesIn(dir / "out"),
              UnorderedElementsAre("modeling/pytorch_model-00001.bin", "modeling/pytorch_model-00002.bin", "modeling/pytorch_model.bin.index.json",
                                   "optimizer/pytorch_optim-00001.bin", "optimizer/pytorch_optim-00002.bin", "optimizer/pytorch_optim_group.bin",
                                   "optimizer/pytorch_optim.bin.index.json"));
  const auto source = OpenSourceTree(dir / "out").value();
  EXPECT_EQ(DetectFormat(*source).value()->name(), "colossalai");
  const auto reader = ColossalAiFormat().Open(OpenSourceTree(dir / "out").value(), {}).value();
  std::vector<std::string> paths;
  for (const Entry& entry : reader->index().entries) paths.push_back(entry.path.ToString());
  EXPECT_THAT(paths, ElementsAre("model/a", "model/b", "optimizer/state/[0]/exp_avg", "optimizer/state/[1]/exp_avg", "optimizer/param_groups",
                                 "optimizer/param_groups/[0]/params", "optimizer/param_groups/[0]/params/[0]",
                                 "optimizer/param_groups/[0]/params/[1]"));
}

TEST(ColossalAiWriter, RefusesAnOptimizerWithoutGroups) {
  TempDir dir;
  CheckpointIndex index = TrainState({2});
  index.entries.resize(4);
  EXPECT_THAT(WriteCheckpoint(index, dir / "out", {}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("param_groups")));
  EXPECT_FALSE(std::filesystem::exists(dir / "out"));
}

// As formats without lists leave them.
CheckpointIndex WithNumberedDicts(int64_t params) {
  CheckpointIndex index = TrainState({2});
  index.entries.resize(4);
  const auto add = [&](std::vector<KeyPath::Segment> below, Value value) {
    std::vector<KeyPath::Segment> segments = {"optimizer", "param_groups", "0"};
    segments.insert(segments.end(), below.begin(), below.end());
    index.entries.push_back(Entry::OfValue(KeyPath(std::move(segments)), std::move(value)));
  };
  add({"betas", "0"}, Value::Float(0.5));
  add({"betas", "1"}, Value::Float(0.75));
  add({"lr"}, Value::Float(0.25));
  for (int64_t i = 0; i < params; ++i) add({"params", absl::StrCat(params - 1 - i)}, Value::Int(params - 1 - i));
  return index;
}

TEST(ColossalAiWriter, MakesListsOfGroupsAgainThatAreDictsOfNumbers) {
  for (const std::string variant : {"", "colossalai_safetensors"}) {
    TempDir dir;
    CAIRN_ASSERT_OK(WriteCheckpoint(WithNumberedDicts(12), dir / "out", {.variant = variant}));
    const auto reader = ColossalAiFormat().Open(OpenSourceTree(dir / "out").value(), {}).value();
    std::map<std::string, Value> values;
    for (const Entry& entry : reader->index().entries) values[entry.path.ToString()] = entry.value;
    const std::string group = "optimizer/param_groups/[0]/";
    EXPECT_EQ(values["optimizer/param_groups"].kind, Value::Kind::kList);
    EXPECT_EQ(values["optimizer/param_groups"].length, 1u);
    EXPECT_EQ(values[group + "params"].length, 12u);
    EXPECT_EQ(values[group + "params"].kind, Value::Kind::kList);
    for (int64_t i = 0; i < 12; ++i) EXPECT_TRUE(values[absl::StrCat(group, "params/[", i, "]")] == Value::Int(i));
    EXPECT_EQ(values[group + "betas"].length, 2u);
    EXPECT_TRUE(values[group + "betas/[1]"] == Value::Float(0.75));
    EXPECT_TRUE(values[group + "lr"] == Value::Float(0.25));
  }
}

// As Flax leaves them.
TEST(ColossalAiWriter, MakesListsWithinOneValue) {
  const auto dict = [](std::vector<std::pair<Value, Value>> pairs) {
    Value value;
    value.kind = Value::Kind::kDict;
    value.pairs = std::move(pairs);
    return value;
  };
  const Value betas = dict({{Value::String("1"), Value::Float(0.75)}, {Value::String("0"), Value::Float(0.5)}});
  const Value params = dict({{Value::Int(0), Value::Int(0)}, {Value::Int(1), Value::Int(1)}});
  const Value group = dict({{Value::String("betas"), betas}, {Value::String("params"), params}});
  Value list;
  list.kind = Value::Kind::kList;
  list.items = {group};
  for (const Value& groups : {list, dict({{Value::String("0"), group}})}) {
    TempDir dir;
    CheckpointIndex index = TrainState({2});
    index.entries.resize(4);
    index.entries.push_back(Entry::OfValue(KeyPath::Of({"optimizer", "param_groups"}), groups));
    CAIRN_ASSERT_OK(WriteCheckpoint(index, dir / "out", {}));
    const auto reader = ColossalAiFormat().Open(OpenSourceTree(dir / "out").value(), {}).value();
    std::map<std::string, Value> values;
    for (const Entry& entry : reader->index().entries) values[entry.path.ToString()] = entry.value;
    EXPECT_EQ(values["optimizer/param_groups/[0]/betas"].kind, Value::Kind::kList);
    EXPECT_TRUE(values["optimizer/param_groups/[0]/betas/[0]"] == Value::Float(0.5));
    EXPECT_TRUE(values["optimizer/param_groups/[0]/betas/[1]"] == Value::Float(0.75));
    EXPECT_TRUE(values["optimizer/param_groups/[0]/params/[1]"] == Value::Int(1));
  }
}

TEST(ColossalAiWriter, MakesAListOfAGroupWithoutParameters) {
  TempDir dir;
  CheckpointIndex index = WithNumberedDicts(0);
  Value none;
  none.kind = Value::Kind::kDict;
  index.entries.erase(index.entries.begin() + 2, index.entries.begin() + 4);
  index.entries.push_back(Entry::OfValue(KeyPath::Of({"optimizer", "param_groups", "0", "params"}), none));
  CAIRN_ASSERT_OK(WriteCheckpoint(index, dir / "out", {}));
  const auto reader = ColossalAiFormat().Open(OpenSourceTree(dir / "out").value(), {}).value();
  const Entry& last = reader->index().entries.back();
  EXPECT_EQ(last.path.ToString(), "optimizer/param_groups/[0]/params");
  EXPECT_EQ(last.value->kind, Value::Kind::kList);
}

TEST(ColossalAiWriter, RefusesGroupsThatAreNoList) {
  for (const char* const key : {"1", "00", "decay"}) {
    TempDir dir;
    CheckpointIndex index = WithNumberedDicts(2);
    for (size_t i = 4; i < index.entries.size(); ++i) {
      std::vector<KeyPath::Segment> segments = index.entries[i].path.segments();
      segments[2] = std::string(key);
      index.entries[i].path = KeyPath(std::move(segments));
    }
    EXPECT_THAT(WriteCheckpoint(index, dir / "out", {}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("optimizer/param_groups"), HasSubstr("expected a list"), HasSubstr(key))));
  }
}

TEST(ColossalAiWriter, RefusesNamesThatNoGroupHas) {
  TempDir dir;
  CheckpointIndex index = TrainState({2});
  index.entries[2].path = KeyPath::Of({"optimizer", "state", "a", "exp_avg"});
  EXPECT_THAT(WriteCheckpoint(index, dir / "out", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("optimizer/state/a/exp_avg"), HasSubstr("names"))));
}

TEST(ColossalAiWriter, PutsNoSecondIndexIntoAFolder) {
  TempDir dir;
  CheckpointIndex index;
  index.entries.push_back(Entry::Tensor(KeyPath::Of({"a"}), Dtype::kFloat32, {2}, 8));
  CAIRN_ASSERT_OK(WriteCheckpoint(index, dir / "out", {}));
  CAIRN_ASSERT_OK(WriteCheckpoint(index, dir / "out", {}, true));
  EXPECT_THAT(WriteCheckpoint(index, dir / "out", {.variant = "colossalai_safetensors"}, true),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("pytorch_model.bin.index.json"), HasSubstr("two indexes"))));
}

TEST(ColossalAiDetection, LeavesFoldersOfHuggingFaceToTheOthers) {
  TempDir dir;
  std::ofstream(dir / "model.safetensors.index.json") << R"({"metadata": {"total_size": 8}, "weight_map": {"a": "model-00001-of-00002.safetensors"}})";
  EXPECT_FALSE(ColossalAiFormat().Detect(*OpenSourceTree(dir.path()).value()));
  std::ofstream(dir / "model.safetensors.index.json") << R"({"metadata": {"total_size": 8.0}, "weight_map": {"a": "model-00001.safetensors"}})";
  EXPECT_TRUE(ColossalAiFormat().Detect(*OpenSourceTree(dir.path()).value()));
  EXPECT_EQ(DetectFormat(*OpenSourceTree(dir.path()).value()).value()->name(), "colossalai");
}

TEST(OneFileTree, IsOneFileOfAFolder) {
  TempDir dir;
  std::ofstream(dir / "a") << "hello";
  const std::shared_ptr<const SourceTree> folder = OpenSourceTree(dir.path()).value();
  const auto file = FileOfTree(folder, "a");
  EXPECT_FALSE(file->is_directory());
  EXPECT_EQ(file->Open("").value()->size(), 5u);
  EXPECT_THAT(file->name(), HasSubstr("/a"));
  EXPECT_THAT(file->Open("b"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(FileOfTree(folder, "../a")->Open(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace cairn::testing
