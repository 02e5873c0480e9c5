#include "common/format/lightning/lightning_format.h"
#include "common/format/torch/torch_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/common/format/lit_files.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr char kWeights[] = "lightning_weights";

LitContent Weights() {
  LitContent content;
  content.AddTensor(KeyPath::Of({"model", "w"}), "abcd");
  content.AddTensor(KeyPath::Of({"b"}), "ef");
  content.Add(Entry::Alias(KeyPath::Of({"tied"}), KeyPath::Of({"model", "w"})));
  return content;
}

// A small one of the Trainer's own.
LitContent Trainer() {
  LitContent content;
  content.Add(Entry::OfValue(KeyPath::Of({"epoch"}), Value::Int(3)));
  content.Add(Entry::OfValue(KeyPath::Of({"global_step"}), Value::Int(30)));
  content.Add(Entry::OfValue(KeyPath::Of({"pytorch-lightning_version"}), Value::String("2.6.6")));
  content.AddTensor(KeyPath::Of({"ema", "w"}), "abcd");
  content.Add(Entry::Alias(KeyPath::Of({"state_dict", "net.w"}), KeyPath::Of({"ema", "w"})));
  content.Add(Entry::Alias(KeyPath::Of({"state_dict", "net.again"}), KeyPath::Of({"ema", "w"})));
  content.AddTensor(KeyPath::Of({"state_dict", "net.b"}), "ef");
  content.Add(Entry::Alias(KeyPath::Of({"state_dict", "net.c"}), KeyPath::Of({"state_dict", "net.b"})));
  return content;
}

TEST(Lightning, WeightsBecomeAStateDictWithWhatTheTrainerAsksFor) {
  TempDir dir;
  LitContent content = Weights();
  content.index.metadata["step"] = "1200";
  CAIRN_ASSERT_OK(WriteLit(LightningFormat(), content, dir / "out.ckpt"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto shown, ReadLit(LightningFormat(), dir / "out.ckpt"));
  EXPECT_THAT(shown, ElementsAre(Pair("epoch", "0"), Pair("global_step", "1200"), Pair("pytorch-lightning_version", "\"2.0.0\""),
                                 Pair("state_dict/b", "ef"), Pair("state_dict/model.w", "abcd"), Pair("state_dict/tied", "=state_dict/model.w")));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto weights, ReadLit(LightningFormat(), dir / "out.ckpt", kWeights));
  EXPECT_THAT(weights, ElementsAre(Pair("b", "ef"), Pair("model.w", "abcd"), Pair("tied", "=model.w")));
}

TEST(Lightning, ATrainersTreeIsWrittenAsItIs) {
  TempDir dir;
  CAIRN_ASSERT_OK(WriteLit(LightningFormat(), Trainer(), dir / "out.ckpt"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto shown, ReadLit(LightningFormat(), dir / "out.ckpt"));
  EXPECT_EQ(shown.at("epoch"), "3");
  EXPECT_EQ(shown.at("global_step"), "30");
  EXPECT_EQ(shown.at("pytorch-lightning_version"), "\"2.6.6\"");
  EXPECT_EQ(shown.at("ema/w"), "abcd");
  EXPECT_EQ(shown.size(), 8u);
}

TEST(Lightning, AWeightThatStandsElsewhereTooComesAlong) {
  TempDir dir;
  CAIRN_ASSERT_OK(WriteLit(TorchFormat(), Trainer(), dir / "in.ckpt"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto weights, ReadLit(LightningFormat(), dir / "in.ckpt", kWeights));
  EXPECT_THAT(weights, ElementsAre(Pair("net.again", "=net.w"), Pair("net.b", "ef"), Pair("net.c", "=net.b"), Pair("net.w", "abcd")));
}

TEST(Lightning, WhatIsNoWeightIsRefusedByName) {
  TempDir dir;
  LitContent content = Weights();
  content.Add(Entry::OfValue(KeyPath::Of({"lr"}), Value::Float(0.5)));
  content.Add(Entry::Asset(KeyPath::Of({"config.json"}), 2), "{}");
  const absl::Status written = WriteLit(LightningFormat(), content, dir / "out.ckpt");
  EXPECT_THAT(written, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"lr\" is no tensor")));
  EXPECT_THAT(written.message(), HasSubstr("config.json"));
  CAIRN_ASSERT_OK(WriteLit(LightningFormat(), content, dir / "out.ckpt", {.drop_unsupported = true}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto weights, ReadLit(LightningFormat(), dir / "out.ckpt", kWeights));
  EXPECT_EQ(weights.size(), 3u);
}

TEST(Lightning, IsDetectedByTheKeysOfTheTrainer) {
  TempDir dir;
  CAIRN_ASSERT_OK(WriteLit(LightningFormat(), Weights(), dir / "out.ckpt"));
  CAIRN_ASSERT_OK(WriteLit(TorchFormat(), Weights(), dir / "other.ckpt"));
  EXPECT_TRUE(LightningFormat().Detect(*OpenSourceTree(dir / "out.ckpt").value()));
  EXPECT_FALSE(LightningFormat().Detect(*OpenSourceTree(dir / "other.ckpt").value()));
  EXPECT_THAT(ReadLit(LightningFormat(), dir / "other.ckpt"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("has no \"state_dict\"")));
}

TEST(Lightning, AFolderWithoutItsMetaIsRefused) {
  TempDir dir;
  EXPECT_FALSE(LightningFormat().Detect(*OpenSourceTree(dir.path()).value()));
  EXPECT_THAT(ReadLit(LightningFormat(), dir.path()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("holds no meta.pt")));
}

TEST(Lightning, AStateDictThatIsNoneIsRefusedAsWeights) {
  TempDir dir;
  LitContent content;
  content.AddTensor(KeyPath::Of({"state_dict"}), "abcd");
  content.Add(Entry::OfValue(KeyPath::Of({"pytorch-lightning_version"}), Value::String("2.6.6")));
  CAIRN_ASSERT_OK(WriteLit(TorchFormat(), content, dir / "in.ckpt"));
  EXPECT_THAT(ReadLit(LightningFormat(), dir / "in.ckpt", kWeights), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected a dict of tensors")));
}

TEST(Lightning, AnEmptyStateDictIsOneToo) {
  TempDir dir;
  CAIRN_ASSERT_OK(WriteLit(LightningFormat(), {}, dir / "out.ckpt"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto shown, ReadLit(LightningFormat(), dir / "out.ckpt"));
  EXPECT_EQ(shown.at("state_dict"), "{}");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto weights, ReadLit(LightningFormat(), dir / "out.ckpt", kWeights));
  EXPECT_THAT(weights, ElementsAre());
}

}  // namespace
}  // namespace cairn::testing
