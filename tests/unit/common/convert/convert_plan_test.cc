#include "common/convert/convert_plan.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Selection Select(const std::vector<std::string>& patterns) { return Selection::Parse(patterns).value(); }

std::vector<std::string> Paths(const ConvertPlan& plan) {
  std::vector<std::string> paths;
  for (const Entry& entry : plan.target.entries) paths.push_back(entry.path.ToString());
  return paths;
}

Value ListMark(uint64_t length) {
  Value mark;
  mark.kind = Value::Kind::kList;
  mark.length = length;
  return mark;
}

CheckpointIndex TrainState() {
  CheckpointIndex index;
  index.entries = {
      Entry::Tensor(KeyPath::Of({"params", "params", "wte"}), Dtype::kFloat32, {2, 3}, 24),
      Entry::Tensor(KeyPath::Of({"params", "params", "ids"}), Dtype::kInt64, {2}, 16),
      Entry::Tensor(KeyPath::Of({"opt_state", "mu"}), Dtype::kFloat32, {2}, 8),
      Entry::OfValue(KeyPath::Of({"step"}), Value::Int(7)),
      Entry::Asset(KeyPath::Of({"config.json"}), 11),
  };
  index.metadata = {{"format", "pt"}};
  return index;
}

TEST(MakeConvertPlan, KeepsEveryEntryInOrderWhenNothingIsAsked) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const ConvertPlan plan, MakeConvertPlan(TrainState(), {}));
  EXPECT_THAT(Paths(plan),
              ElementsAre("params/params/wte", "params/params/ids", "opt_state/mu", "step", "config.json"));
  EXPECT_EQ(plan.target.metadata, TrainState().metadata);
  ASSERT_EQ(plan.steps.size(), 5u);
  EXPECT_EQ(plan.steps[1].source_entry, 1u);
  EXPECT_EQ(plan.steps[0].from, plan.steps[0].to);
}

TEST(MakeConvertPlan, CastsFloatsAndLeavesIntegersAlone) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const ConvertPlan plan,
                             MakeConvertPlan(TrainState(), {.float_dtype = Dtype::kBfloat16}));
  EXPECT_EQ(plan.target.entries[0].dtype, Dtype::kBfloat16);
  EXPECT_EQ(plan.target.entries[0].byte_size, 12u);
  EXPECT_EQ(plan.steps[0].from, Dtype::kFloat32);
  EXPECT_EQ(plan.steps[0].to, Dtype::kBfloat16);
  EXPECT_EQ(plan.target.entries[1].dtype, Dtype::kInt64);
  EXPECT_EQ(plan.target.entries[1].byte_size, 16u);
  EXPECT_EQ(plan.target.entries[4].byte_size, 11u);
}

TEST(MakeConvertPlan, RefusesAnIntegerAsFloatDtype) {
  EXPECT_THAT(MakeConvertPlan(TrainState(), {.float_dtype = Dtype::kInt32}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("int32")));
}

TEST(MakeConvertPlan, KeepsWhatThePatternsChoose) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const ConvertPlan plan,
                             MakeConvertPlan(TrainState(), {.select = Select({"params/", "!**/ids"})}));
  EXPECT_THAT(Paths(plan), ElementsAre("params/params/wte"));
}

TEST(MakeConvertPlan, RefusesAPatternThatMatchesNothing) {
  EXPECT_THAT(
      MakeConvertPlan(TrainState(), {.select = Select({"params/", "modle/"})}),
      StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("modle/"), HasSubstr("5 entries"))));
}

TEST(MakeConvertPlan, MakesASubtreeTheWholeTreeAndKeepsAssets) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const ConvertPlan plan,
                             MakeConvertPlan(TrainState(), {.root = KeyPath::Of({"params", "params"})}));
  EXPECT_THAT(Paths(plan), ElementsAre("wte", "ids", "config.json"));
  EXPECT_EQ(plan.steps[2].source_entry, 4u);
}

TEST(MakeConvertPlan, RefusesARootWithNothingBelowIt) {
  EXPECT_THAT(MakeConvertPlan(TrainState(), {.root = KeyPath::Of({"model"})}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"model\"")));
}

TEST(MakeConvertPlan, RefusesAnAliasWhoseTargetIsLeftOut) {
  CheckpointIndex index = TrainState();
  index.entries.push_back(Entry::Alias(KeyPath::Of({"lm_head"}), KeyPath::Of({"params", "params", "wte"})));
  EXPECT_THAT(MakeConvertPlan(index, {.select = Select({"lm_head", "step"})}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("\"lm_head\""), HasSubstr("params/params/wte"))));
  CAIRN_EXPECT_OK(MakeConvertPlan(index, {.select = Select({"lm_head", "params/params/wte"})}));
}

TEST(MakeConvertPlan, RenamesAnAliasAndItsTargetTogether) {
  CheckpointIndex index;
  index.entries = {Entry::Tensor(KeyPath::Of({"params", "wte"}), Dtype::kFloat32, {1}, 4),
                   Entry::Alias(KeyPath::Of({"params", "head"}), KeyPath::Of({"params", "wte"}))};
  CAIRN_ASSERT_OK_AND_ASSIGN(const ConvertPlan plan,
                             MakeConvertPlan(index, {.root = KeyPath::Of({"params"})}));
  EXPECT_EQ(plan.target.entries[1].target, KeyPath::Of({"wte"}));
  CAIRN_EXPECT_OK(plan.target.Check());
}

TEST(MakeConvertPlan, DropsTheMarkOfAListThatLosesChildren) {
  CheckpointIndex index;
  index.entries = {
      Entry::OfValue(KeyPath::Of({"layers"}), ListMark(2)),
      Entry::Tensor(KeyPath({"layers", int64_t{0}, "w"}), Dtype::kUint8, {1}, 1),
      Entry::Tensor(KeyPath({"layers", int64_t{1}, "w"}), Dtype::kUint8, {1}, 1),
  };
  CAIRN_ASSERT_OK_AND_ASSIGN(const ConvertPlan whole, MakeConvertPlan(index, {.select = Select({"**"})}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const ConvertPlan part,
                             MakeConvertPlan(index, {.select = Select({"**", "!layers/\\[1]/**"})}));
  EXPECT_THAT(Paths(whole), ElementsAre("layers", "layers/[0]/w", "layers/[1]/w"));
  EXPECT_THAT(Paths(part), ElementsAre("layers/[0]/w"));
}

}  // namespace
}  // namespace cairn
