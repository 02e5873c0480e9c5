#include "common/convert/weights.h"

#include <string>
#include <utility>
#include <vector>

#include "common/convert/weights_plan.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// Shown paths: tensors of 2 floats; "NAME=" is a value, "NAME->TARGET" an alias.
CheckpointIndex IndexOf(const std::vector<std::string>& lines) {
  CheckpointIndex index;
  const auto path = [](const std::string& text) { return KeyPath::Parse(text).value(); };
  for (const std::string& line : lines) {
    if (const size_t arrow = line.find("->"); arrow != std::string::npos) {
      index.entries.push_back(Entry::Alias(path(line.substr(0, arrow)), path(line.substr(arrow + 2))));
    } else if (line.back() == '=') {
      index.entries.push_back(Entry::OfValue(path(line.substr(0, line.size() - 1)), Value::Int(7)));
    } else {
      index.entries.push_back(Entry::Tensor(path(line), Dtype::kFloat32, {2}, 8));
    }
  }
  return index;
}

std::string PlaceIn(const std::vector<std::string>& lines) {
  const WeightsFinding finding = FindWeights(IndexOf(lines));
  return finding.place.has_value() ? finding.place->Describe() : "nowhere";
}

// The names of the weights as a tree of their own.
std::vector<std::string> WeightsOf(const CheckpointIndex& index, PlanOptions options = {}) {
  const absl::StatusOr<WeightsPlan> weights = MakeWeightsPlan(index, std::move(options));
  EXPECT_TRUE(weights.ok()) << weights.status();
  std::vector<std::string> names;
  if (!weights.ok()) return names;
  for (const Entry& entry : weights->plan.target.entries) {
    names.push_back(entry.kind == EntryKind::kAlias ? entry.path.ToString() + "->" + entry.target.ToString() : entry.path.ToString());
  }
  return names;
}
std::vector<std::string> WeightsOf(const std::vector<std::string>& lines) { return WeightsOf(IndexOf(lines)); }

TEST(FindWeights, TakesAStateDictAsItIs) {
  EXPECT_EQ(PlaceIn({"model.norm.weight", "lm_head.weight"}), "state dict");
  EXPECT_THAT(WeightsOf({"model.norm.weight", "lm_head.weight->model.norm.weight", "bn.num_batches_tracked"}),
              ElementsAre("model.norm.weight", "lm_head.weight->model.norm.weight", "bn.num_batches_tracked"));
  // Hugging Face's with a tied head: the prefix is the model's own.
  EXPECT_THAT(WeightsOf({"model.embed.weight", "model.norm.weight"}), ElementsAre("model.embed.weight", "model.norm.weight"));
}

TEST(FindWeights, TakesAFlaxTreeAsItIsThoughAModuleIsCalledModel) {
  EXPECT_EQ(PlaceIn({"model/embed/kernel", "lm_head/kernel"}), "tree of weights");
  EXPECT_EQ(PlaceIn({"model/embed/kernel", "model/h/0/w"}), "tree of weights");
  EXPECT_EQ(PlaceIn({"transformer/h/0/wq/kernel", "transformer/ln_f/kernel"}), "tree of weights");
}

TEST(FindWeights, FindsAStateDictUnderTheUsualNames) {
  for (const std::string name : {"model", "module", "state_dict", "model_state_dict"}) {
    EXPECT_EQ(PlaceIn({name + "/a.w", name + "/b.w"}), "state dict: under " + name);
    EXPECT_EQ(PlaceIn({name + "/a.w", "optimizer/state/[0]/exp_avg", "iter_num="}), "training checkpoint: under " + name);
  }
  EXPECT_THAT(WeightsOf({"model/a.w", "model/b.w", "step_count="}), ElementsAre("a.w", "b.w"));
  EXPECT_EQ(PlaceIn({"net/conv.w", "acc=", "epoch="}), "training checkpoint: under net");
}

TEST(FindWeights, KnowsTrainStatesOfEasyLmAndFlax) {
  EXPECT_EQ(PlaceIn({"step=", "params/params/h/w", "opt_state/mu/params/h/w"}), "EasyLM train state: under params/params");
  EXPECT_EQ(PlaceIn({"step", "params/h/w", "opt_state/[0]/mu/h/w"}), "Flax train state: under params");
  EXPECT_EQ(PlaceIn({"step=", "params/h/w", "batch_stats/bn/mean", "opt_state/[0]/mu/h/w"}), "Flax train state: under params");
  EXPECT_EQ(PlaceIn({"params/h/w"}), "Flax variables: under params");
  EXPECT_THAT(WeightsOf({"step=", "params/params/h/w", "opt_state/mu/params/h/w"}), ElementsAre("h/w"));
}

TEST(FindWeights, TakesVariablesOfFlaxWithTheirBuffers) {
  EXPECT_THAT(WeightsOf({"params/h/w", "batch_stats/bn/mean"}), ElementsAre("params/h/w", "batch_stats/bn/mean"));
}

TEST(FindWeights, StripsWhatLightningPutsInFrontOfAllNamesOnly) {
  EXPECT_EQ(PlaceIn({"state_dict/model.a", "state_dict/model.b", "pytorch-lightning_version=", "epoch="}),
            "Lightning Trainer checkpoint: under state_dict, names without model.");
  EXPECT_THAT(WeightsOf({"state_dict/model.a", "state_dict/model.model.b", "loops/fit_loop/x="}), ElementsAre("a", "model.b"));
  EXPECT_THAT(WeightsOf({"state_dict/model.a", "state_dict/loss.b", "pytorch-lightning_version="}), ElementsAre("model.a", "loss.b"));
  // Not Lightning's: the prefix may be the model's own.
  EXPECT_THAT(WeightsOf({"state_dict/model.a", "state_dict/model.b"}), ElementsAre("model.a", "model.b"));
}

TEST(FindWeights, TakesWrappersOutOfNames) {
  EXPECT_EQ(PlaceIn({"model/_orig_mod.a.w", "model/b._orig_mod.w", "optimizer/x"}),
            "training checkpoint: under model, names without _orig_mod.");
  EXPECT_THAT(WeightsOf({"model/_orig_mod.a.w", "model/b._orig_mod.w", "optimizer/x"}), ElementsAre("a.w", "b.w"));
  EXPECT_THAT(WeightsOf({"module.a", "module._orig_mod.b"}), ElementsAre("a", "b"));
  EXPECT_THAT(WeightsOf({"_fsdp_wrapped_module.a._checkpoint_wrapped_module.w"}), ElementsAre("a.w"));
  EXPECT_THAT(WeightsOf({"state_dict/_forward_module.model.a", "state_dict/_forward_module.model.b", "loops/x="}), ElementsAre("a", "b"));
  EXPECT_THAT(WeightsOf({"module.a", "b"}), ElementsAre("module.a", "b"));
  EXPECT_THAT(WeightsOf({"_orig_mod/h/w"}), ElementsAre("h/w"));
}

TEST(FindWeights, TakesAModelAtTheTopLevelWithoutTheTrainingStateBesideIt) {
  const std::vector<std::string> titan = {"tok_embeddings.weight",          "layers.0.wq.weight", "optimizer/state.layers.0.wq.weight.exp_avg",
                                          "lr_scheduler/last_epoch=",        "train_state/step=",  "dataloader/dp_rank_0="};
  EXPECT_EQ(PlaceIn(titan), "model beside its training state");
  EXPECT_THAT(WeightsOf(titan), ElementsAre("tok_embeddings.weight", "layers.0.wq.weight"));
  // The same as flat names, of the time when the model was below "model".
  EXPECT_THAT(WeightsOf({"model.norm.weight", "model.output.weight", "optimizer.state.norm.weight.exp_avg", "train_state.step"}),
              ElementsAre("norm.weight", "output.weight"));
  // A model's own, whatever it begins with.
  EXPECT_THAT(WeightsOf({"optimizer_head.weight", "encoder.weight", "lr_scheduler_net.bias"}),
              UnorderedElementsAre("optimizer_head.weight", "encoder.weight", "lr_scheduler_net.bias"));
  EXPECT_THAT(WeightsOf({"encoder.weight", "optimizer_0.state.x", "optimizers.x", "lr_schedulers.x", "optimizer_states.y"}), ElementsAre("encoder.weight"));
  EXPECT_THAT(WeightsOf({"model/norm.weight", "freqs_cis", "optimizer/state.norm.weight.exp_avg"}), ElementsAre("norm.weight"));
}

TEST(FindWeights, NamesTensorsThatItTakesForTrainingStateByTheirNameAlone) {
  EXPECT_EQ(PlaceIn({"encoder.weight", "optimizer/state.x", "loss", "scheduler"}),
            "model beside its training state; not among them: loss, scheduler");
}

TEST(FindWeights, LooksIntoOneWrappingOfAll) {
  EXPECT_EQ(PlaceIn({"app/model/a.w", "app/optimizer/state.a.w.exp_avg"}), "training checkpoint: under app/model");
}

TEST(FindWeights, DoesNotTakeAModulesNameForTrainingState) {
  EXPECT_THAT(WeightsOf({"noise_scheduler.betas", "unet.w"}), ElementsAre("noise_scheduler.betas", "unet.w"));
  EXPECT_THAT(WeightsOf({"scaler/h/w", "backbone/h/w"}), ElementsAre("scaler/h/w", "backbone/h/w"));
}

TEST(FindWeights, NamesWhatCouldBeMeantInsteadOfGuessing) {
  const WeightsFinding finding = FindWeights(IndexOf({"model/a", "ema/a", "optimizer/x", "step="}));
  EXPECT_FALSE(finding.place.has_value());
  EXPECT_THAT(finding.candidates, ElementsAre("model", "ema"));
  EXPECT_THAT(MakeWeightsPlan(IndexOf({"model/a", "ema/a"}), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("\"model\", \"ema\""), HasSubstr("root"))));
  EXPECT_THAT(FindWeights(IndexOf({"generator/a", "discriminator/a", "epoch="})).candidates, ElementsAre("discriminator", "generator"));
}

TEST(FindWeights, IsNotFooledByAnOptimizersOwnFile) {
  EXPECT_THAT(MakeWeightsPlan(IndexOf({"state/[0]/exp_avg", "state/[0]/step", "param_groups/[0]/lr="}), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nothing looks like the weights")));
  EXPECT_THAT(FindWeights(IndexOf({"step=", "name="})).candidates, IsEmpty());
  EXPECT_EQ(PlaceIn({"step="}), "nowhere");
}

TEST(FindWeights, CountsWhatItFinds) {
  const WeightsFinding finding = FindWeights(IndexOf({"model/a", "model/b", "model/head->model/a", "optimizer/x", "step="}));
  ASSERT_TRUE(finding.place.has_value());
  EXPECT_EQ(finding.place->tensors, 2u);
  EXPECT_EQ(finding.place->parameters, 4u);
  EXPECT_EQ(finding.place->bytes, 16u);
}

TEST(MakeWeightsPlan, LetsARootOrASelectionDecideBetweenCandidates) {
  const CheckpointIndex index = IndexOf({"model/_orig_mod.a", "ema/b", "optimizer/x"});
  EXPECT_THAT(WeightsOf(index, {.root = KeyPath::Of({"model"})}), ElementsAre("a"));
  EXPECT_THAT(WeightsOf(index, {.select = Selection::Parse({"!ema/"}).value()}), ElementsAre("a"));
  EXPECT_THAT(WeightsOf(index, {.select = Selection::Parse({"ema/"}).value()}), ElementsAre("b"));
  EXPECT_THAT(WeightsOf(IndexOf({"model/a", "ema/b"}), {.select = Selection::Parse({"ema/"}).value()}), ElementsAre("b"));
}

TEST(MakeWeightsPlan, AppliesTheSelectionToTheSourcesNames) {
  EXPECT_THAT(WeightsOf(IndexOf({"model/a.w", "model/b.w", "optimizer/x"}), {.select = Selection::Parse({"*/a.*"}).value()}),
              ElementsAre("a.w"));
}

TEST(MakeWeightsPlan, MakesATensorOfAnAliasWhoseTargetIsNoWeight) {
  CheckpointIndex index = IndexOf({"optimizer/params/a", "model/w->optimizer/params/a", "model/head->optimizer/params/a", "model/b"});
  CAIRN_ASSERT_OK_AND_ASSIGN(const WeightsPlan weights, MakeWeightsPlan(index, {.float_dtype = Dtype::kFloat16}));
  ASSERT_EQ(weights.plan.target.entries.size(), 3u);
  EXPECT_EQ(weights.plan.target.entries[0].kind, EntryKind::kTensor);
  EXPECT_EQ(weights.plan.target.entries[0].path.ToString(), "w");
  EXPECT_EQ(weights.plan.target.entries[0].dtype, Dtype::kFloat16);
  EXPECT_EQ(weights.plan.steps[0].source_entry, 0u);
  EXPECT_EQ(weights.plan.target.entries[1].target.ToString(), "w");
  CAIRN_EXPECT_OK(weights.plan.target.Check());
}

TEST(MakeWeightsPlan, RefusesNamesThatAreTheSameWithoutWrappers) {
  EXPECT_THAT(MakeWeightsPlan(IndexOf({"model/a.w", "model/_orig_mod.a.w"}), {}),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("\"_orig_mod.a.w\""), HasSubstr("\"a.w\""))));
}

TEST(MakeWeightsPlan, TakesMarksOfListsWhereTheyAreWanted) {
  CheckpointIndex index = IndexOf({"params/layers/[0]/w", "params/layers/[1]/w", "step="});
  Value mark;
  mark.kind = Value::Kind::kList;
  mark.length = 2;
  index.entries.push_back(Entry::OfValue(KeyPath::Of({"params", "layers"}), mark));
  EXPECT_THAT(WeightsOf(index), ElementsAre("layers/[0]/w", "layers/[1]/w", "layers"));
  EXPECT_THAT(WeightsOf(index, {.marks = false}), ElementsAre("layers/[0]/w", "layers/[1]/w"));
}

TEST(MakeWeightsPlan, KeepsAssets) {
  CheckpointIndex index = IndexOf({"model/a.w", "optimizer/x"});
  index.entries.push_back(Entry::Asset(KeyPath::Of({"config.json"}), 2));
  EXPECT_THAT(WeightsOf(index), ElementsAre("a.w", "config.json"));
}

}  // namespace
}  // namespace cairn
