#include "common/format/dcp/dcp_writer.h"

#include <filesystem>
#include <string>
#include <vector>

#include "common/base/status_macros.h"
#include "common/format/dcp/dcp_format.h"
#include "common/format/dcp/dcp_plan.h"
#include "common/io/posix_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

using Segments = std::vector<KeyPath::Segment>;

Value Mark(Value::Kind kind, uint64_t length) {
  Value mark;
  mark.kind = kind;
  mark.length = length;
  return mark;
}

Entry Floats(KeyPath path, Shape shape) {
  const uint64_t bytes = ByteSize(Dtype::kFloat32, shape).value();
  return Entry::Tensor(std::move(path), Dtype::kFloat32, std::move(shape), bytes);
}

std::vector<std::string> NamesOf(const DcpPlan& plan) {
  std::vector<std::string> names;
  for (const DcpKey& key : plan.keys) names.push_back(key.name);
  return names;
}

TEST(DcpPlan, TakesDictsApartAndListsThatHoldTensorsOrDicts) {
  CheckpointIndex index;
  const auto add = [&](Entry entry) { index.entries.push_back(std::move(entry)); };
  add(Floats(KeyPath::Of({"model", "a.b"}), {2}));
  add(Entry::OfValue(KeyPath(Segments{"groups"}), Mark(Value::Kind::kList, 1)));
  add(Entry::OfValue(KeyPath(Segments{"groups", 0, "lr"}), Value::Float(0.1)));
  add(Entry::OfValue(KeyPath(Segments{"groups", 0, "betas"}), Mark(Value::Kind::kTuple, 2)));
  add(Entry::OfValue(KeyPath(Segments{"groups", 0, "betas", 0}), Value::Float(0.9)));
  add(Entry::OfValue(KeyPath(Segments{"groups", 0, "betas", 1}), Value::Float(0.99)));
  add(Entry::OfValue(KeyPath(Segments{"plain"}), Mark(Value::Kind::kList, 2)));
  add(Entry::OfValue(KeyPath(Segments{"plain", 0}), Value::Int(1)));
  add(Entry::OfValue(KeyPath(Segments{"plain", 1}), Value::Int(2)));
  add(Entry::OfValue(KeyPath(Segments{"mixed"}), Mark(Value::Kind::kList, 2)));
  add(Entry::OfValue(KeyPath(Segments{"mixed", 0}), Value::Int(1)));
  add(Floats(KeyPath(Segments{"mixed", 1}), {1}));
  add(Entry::OfValue(KeyPath(Segments{"state", int64_t{0}, "step"}), Value::Int(3)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const DcpPlan plan, PlanDcp(index, 0));
  EXPECT_THAT(NamesOf(plan),
              ElementsAre("model.a.b", "groups.0.lr", "groups.0.betas", "plain", "mixed.0", "mixed.1", "state.0.step"));
  EXPECT_EQ(plan.keys[0].path.segments(), (Segments{"model", "a.b"}));
  EXPECT_EQ(plan.keys[1].path.segments(), (Segments{"groups", int64_t{0}, "lr"}));
  // No list: a dict with a number for a key.
  EXPECT_EQ(plan.keys[6].path.segments(), (Segments{"state", "0", "step"}));
}

TEST(DcpPlan, RefusesNamesThatFlattenToOneAndSaysWhich) {
  CheckpointIndex index;
  index.entries = {Floats(KeyPath::Of({"a", "b"}), {2}), Floats(KeyPath::Of({"a.b"}), {3})};
  CAIRN_ASSERT_OK_AND_ASSIGN(const DcpPlan plan, PlanDcp(index, 0));
  EXPECT_EQ(plan.problem_count, 1u);
  EXPECT_THAT(plan.problems[0], HasSubstr("\"a.b\" and \"a/b\" are both named \"a.b\""));
  EXPECT_THAT(NamesOf(plan), ElementsAre("a.b"));
}

TEST(DcpPlan, RefusesListsWithGaps) {
  CheckpointIndex index;
  index.entries = {Entry::OfValue(KeyPath(Segments{"l"}), Mark(Value::Kind::kList, 2)),
                   Floats(KeyPath(Segments{"l", 1}), {2})};
  EXPECT_THAT(PlanDcp(index, 0), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[0] is missing")));
  index.entries.pop_back();
  EXPECT_THAT(PlanDcp(index, 0), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("list of 2 items")));
}

TEST(DcpPlan, CutsTensorsIntoRunsOfTheirBytes) {
  const auto cut = [](Shape shape, uint64_t most) {
    std::vector<std::string> boxes;
    for (const Box& box : CutInOrder(shape, 4, most)) boxes.push_back(box.ToString());
    return boxes;
  };
  EXPECT_THAT(cut({5, 2}, 40), ElementsAre("[0:5, 0:2]"));
  EXPECT_THAT(cut({5, 2}, 16), ElementsAre("[0:2, 0:2]", "[2:4, 0:2]", "[4:5, 0:2]"));
  EXPECT_THAT(cut({2, 3}, 8), ElementsAre("[0:1, 0:2]", "[0:1, 2:3]", "[1:2, 0:2]", "[1:2, 2:3]"));
  EXPECT_THAT(cut({2, 2}, 1), ElementsAre("[0:1, 0:1]", "[0:1, 1:2]", "[1:2, 0:1]", "[1:2, 1:2]"));
  EXPECT_THAT(cut({}, 1), ElementsAre("[]"));
  EXPECT_THAT(cut({0, 3}, 1), ElementsAre("[0:0, 0:3]"));
}

class DcpWriting : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return dir_ / name; }

  absl::Status Write(const CheckpointIndex& index, const std::string& name, WriteOptions options = {}) const {
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<SinkTree> sink, CreateSinkTree(path(name), {.durable = false}));
    const std::unique_ptr<CheckpointWriter> writer = CreateDcpWriter(std::move(sink), options);
    CAIRN_ASSIGN_OR_RETURN(const std::vector<size_t> order, writer->Begin(index));
    for (const size_t entry : order) {
      CAIRN_RETURN_IF_ERROR(writer->StartEntry(entry).status());
      CAIRN_RETURN_IF_ERROR(
          writer->Append(std::string(index.entries[entry].byte_size, static_cast<char>('a' + entry))));
      CAIRN_RETURN_IF_ERROR(writer->FinishEntry());
    }
    return writer->Finish();
  }

  absl::StatusOr<std::unique_ptr<CheckpointReader>> Read(const std::string& name) const {
    CAIRN_ASSIGN_OR_RETURN(std::shared_ptr<const SourceTree> source, OpenSourceTree(path(name)));
    return DcpFormat().Open(std::move(source), {});
  }

  std::vector<std::string> Files(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path(name)))
      names.push_back(entry.path().filename().string());
    return names;
  }

  TempDir dir_;
};

TEST_F(DcpWriting, SameInputGivesSameBytes) {
  CheckpointIndex index;
  index.entries = {Floats(KeyPath::Of({"w"}), {4, 3}), Entry::OfValue(KeyPath::Of({"step"}), Value::Int(3))};
  CAIRN_ASSERT_OK(Write(index, "one"));
  CAIRN_ASSERT_OK(Write(index, "two"));
  EXPECT_THAT(Files("one"), UnorderedElementsAre(".metadata", "__0_0.distcp"));
  for (const std::string file : {".metadata", "__0_0.distcp"}) {
    EXPECT_EQ(ReadSmallFile(path("one/" + file), 1 << 20).value(), ReadSmallFile(path("two/" + file), 1 << 20).value())
        << file;
  }
}

TEST_F(DcpWriting, CutsLargeTensorsAndSpreadsItemsOverFiles) {
  CheckpointIndex index;
  index.entries = {Floats(KeyPath::Of({"large"}), {10, 4}), Floats(KeyPath::Of({"small"}), {2}),
                   Floats(KeyPath::Of({"tiny"}), {1})};
  CAIRN_ASSERT_OK(Write(index, "cut", {.max_shard_bytes = 64}));
  // 160 bytes in chunks of 64, 64 and 32; the last has room for the others.
  EXPECT_THAT(Files("cut"), UnorderedElementsAre(".metadata", "__0_0.distcp", "__0_1.distcp", "__0_2.distcp"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Read("cut"));
  for (size_t i = 0; i < 3; ++i) {
    std::string bytes(index.entries[i].byte_size, '\0');
    CAIRN_ASSERT_OK(reader->ReadAt(i, 0, absl::MakeSpan(bytes)));
    EXPECT_EQ(bytes, std::string(bytes.size(), static_cast<char>('a' + i)));
  }
}

TEST_F(DcpWriting, StoresATiedTensorOnce) {
  CheckpointIndex index;
  index.entries = {Entry::Alias(KeyPath::Of({"head"}), KeyPath::Of({"embed"})), Floats(KeyPath::Of({"embed"}), {1000})};
  CAIRN_ASSERT_OK(Write(index, "tied"));
  EXPECT_LT(std::filesystem::file_size(path("tied/__0_0.distcp")), 6000u);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Read("tied"));
  ASSERT_EQ(reader->index().entries.size(), 2u);
  EXPECT_EQ(reader->index().entries[0].kind, EntryKind::kTensor);
  EXPECT_EQ(reader->index().entries[1].kind, EntryKind::kAlias);
}

TEST_F(DcpWriting, KeepsTuplesWithTensorsAsOneItem) {
  CheckpointIndex index;
  index.entries = {Entry::OfValue(KeyPath(Segments{"t"}), Mark(Value::Kind::kTuple, 3)),
                   Floats(KeyPath(Segments{"t", 0}), {3}), Entry::OfValue(KeyPath(Segments{"t", 1}), Value::Int(5)),
                   Entry::Alias(KeyPath(Segments{"t", 2}), KeyPath(Segments{"t", 0}))};
  CAIRN_ASSERT_OK(Write(index, "tuple"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Read("tuple"));
  ASSERT_EQ(reader->index().entries.size(), 4u);
  EXPECT_EQ(reader->index().entries[0].value->kind, Value::Kind::kTuple);
  EXPECT_EQ(reader->index().entries[3].kind, EntryKind::kAlias);
  std::string bytes(12, '\0');
  CAIRN_ASSERT_OK(reader->ReadAt(1, 0, absl::MakeSpan(bytes)));
  EXPECT_EQ(bytes, std::string(12, 'b'));
}

TEST_F(DcpWriting, RefusesATieThatLeavesATuple) {
  CheckpointIndex index;
  index.entries = {Entry::OfValue(KeyPath(Segments{"t"}), Mark(Value::Kind::kTuple, 1)),
                   Floats(KeyPath(Segments{"t", 0}), {3}), Entry::Alias(KeyPath::Of({"w"}), KeyPath(Segments{"t", 0}))};
  EXPECT_THAT(Write(index, "refused"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"w\" is another name of \"t/[0]\"")));
  CAIRN_ASSERT_OK(Write(index, "dropped", {.drop_unsupported = true}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Read("dropped"));
  EXPECT_EQ(reader->index().entries.size(), 2u);
}

TEST_F(DcpWriting, RefusesAnEmptyDictUnlessItStandsInATuple) {
  Value empty;
  empty.kind = Value::Kind::kDict;
  CheckpointIndex index;
  index.entries = {Floats(KeyPath::Of({"w"}), {1}),
                   Entry::OfValue(KeyPath(Segments{"t"}), Mark(Value::Kind::kTuple, 1)),
                   Entry::OfValue(KeyPath(Segments{"t", 0}), empty)};
  CAIRN_ASSERT_OK(Write(index, "tuple"));
  index.entries.push_back(Entry::OfValue(KeyPath::Of({"a", "nothing"}), empty));
  EXPECT_THAT(Write(index, "refused"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"a/nothing\" is an empty dict")));
  CAIRN_ASSERT_OK(Write(index, "dropped", {.drop_unsupported = true}));
  for (const std::string name : {"tuple", "dropped"}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, Read(name));
    ASSERT_EQ(reader->index().entries.size(), 3u);
    EXPECT_EQ(reader->index().entries[2].value->kind, Value::Kind::kDict);
  }
}

TEST_F(DcpWriting, RefusesAssetsNamedAsItsOwnFiles) {
  CheckpointIndex index;
  index.entries = {Floats(KeyPath::Of({"w"}), {1}), Entry::Asset(KeyPath::Of({"__3_0.distcp"}), 3)};
  EXPECT_THAT(Write(index, "asset"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("__3_0.distcp")));
}

}  // namespace
}  // namespace cairn::testing
