#include <filesystem>
#include <fstream>

#include "common/format/litgpt/litgpt_format.h"
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

LitContent Training() {
  LitContent content;
  content.AddTensor(KeyPath::Of({"model", "lm_head.weight"}), "abcd");
  content.Add(Entry::OfValue(KeyPath::Of({"iter_num"}), Value::Int(7)));
  return content;
}

TEST(LitGpt, AFolderHoldsTheModelAndItsSideFiles) {
  TempDir dir;
  LitContent content = Training();
  content.Add(Entry::Asset(KeyPath::Of({"model_config.yaml"}), 10), "n_layer: 2");
  CAIRN_ASSERT_OK(WriteLit(LitGptFormat(), content, dir / "out"));
  EXPECT_TRUE(std::filesystem::is_regular_file(dir / "out/lit_model.pth"));
  EXPECT_TRUE(std::filesystem::is_regular_file(dir / "out/model_config.yaml"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto shown, ReadLit(LitGptFormat(), dir / "out"));
  EXPECT_THAT(shown, ElementsAre(Pair("iter_num", "7"), Pair("model/lm_head.weight", "abcd"), Pair("model_config.yaml", "n_layer: 2")));
}

TEST(LitGpt, OtherWeightsOfTheFolderAreNotRead) {
  TempDir dir;
  CAIRN_ASSERT_OK(WriteLit(LitGptFormat(), Training(), dir / "out"));
  LitContent other;
  other.AddTensor(KeyPath::Of({"x"}), "y");
  CAIRN_ASSERT_OK(WriteLit(TorchFormat(), other, dir / "out/pytorch_model.bin"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto shown, ReadLit(LitGptFormat(), dir / "out"));
  EXPECT_THAT(shown, ElementsAre(Pair("iter_num", "7"), Pair("model/lm_head.weight", "abcd")));
}

TEST(LitGpt, APathNamedLikeAFileIsOneWithoutSideFiles) {
  TempDir dir;
  LitContent content = Training();
  CAIRN_ASSERT_OK(WriteLit(LitGptFormat(), content, dir / "lit_model.pth"));
  EXPECT_TRUE(std::filesystem::is_regular_file(dir / "lit_model.pth"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto shown, ReadLit(LitGptFormat(), dir / "lit_model.pth"));
  EXPECT_EQ(shown.size(), 2u);
  content.Add(Entry::Asset(KeyPath::Of({"model_config.yaml"}), 0));
  EXPECT_THAT(WriteLit(LitGptFormat(), content, dir / "other.pth"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model_config.yaml")));
}

TEST(LitGpt, IsDetectedByItsNameAndItsContent) {
  TempDir dir;
  CAIRN_ASSERT_OK(WriteLit(LitGptFormat(), Training(), dir / "out"));
  EXPECT_TRUE(LitGptFormat().Detect(*OpenSourceTree(dir / "out").value()));
  EXPECT_TRUE(LitGptFormat().Detect(*OpenSourceTree(dir / "out/lit_model.pth").value()));
  std::filesystem::rename(dir / "out/lit_model.pth", dir / "out/model.pth");
  EXPECT_FALSE(LitGptFormat().Detect(*OpenSourceTree(dir / "out").value()));
  EXPECT_FALSE(LitGptFormat().Detect(*OpenSourceTree(dir / "out/model.pth").value()));
  std::ofstream(dir / "out/lit_model.pth") << "no file of torch";
  EXPECT_FALSE(LitGptFormat().Detect(*OpenSourceTree(dir / "out").value()));
  EXPECT_THAT(ReadLit(LitGptFormat(), dir / "out"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("lit_model.pth")));
}

}  // namespace
}  // namespace cairn::testing
