#include "common/namemap/symbols.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

TEST(EvaluateExpression, ProductsComeBeforeSums) {
  const Symbols symbols{{"heads", 32}, {"hidden", 4096}, {"kv", 8}};
  EXPECT_EQ(*EvaluateExpression("hidden / heads", symbols), 128);
  EXPECT_EQ(*EvaluateExpression("heads + 2 * kv", symbols), 48);
  EXPECT_EQ(*EvaluateExpression("heads - kv - 1", symbols), 23);
  EXPECT_EQ(*EvaluateExpression("7", symbols), 7);
}

TEST(EvaluateExpression, AnUnknownSymbolMakesItUnknown) {
  EXPECT_EQ(*EvaluateExpression("a / b", {{"a", 4}}), std::nullopt);
}

TEST(EvaluateExpression, WhatIsNoNumberIsRefused) {
  const Symbols symbols{{"a", 7}, {"big", int64_t{1} << 62}};
  for (const char* text : {"", "a +", "a b", "a / 2", "a / 0", "(a)", "big * 4", "big + big", "a ** 2"}) {
    EXPECT_THAT(EvaluateExpression(text, symbols), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(ConfigDocuments, KeysWithinKeysAreJoinedWithDots) {
  ConfigDocuments config;
  CAIRN_ASSERT_OK(config.Add("config.json", R"({"hidden_size": 64, "text_config": {"heads": 4}, "tie": true,
                                                "none": null, "architectures": ["LlamaForCausalLM"]})"));
  CAIRN_ASSERT_OK(config.Add("model_config.yaml", "n_head: 8\nhf_config: {name: pythia, org: x}\nbias: false\n"));
  EXPECT_EQ(config.Integer("config.json", "hidden_size"), 64);
  EXPECT_EQ(config.Integer("config.json", "text_config.heads"), 4);
  EXPECT_EQ(config.Integer("config.json", "tie"), 1);
  EXPECT_EQ(config.Integer("config.json", "none"), std::nullopt);
  EXPECT_EQ(config.Text("config.json", "architectures"), "LlamaForCausalLM");
  EXPECT_EQ(config.Integer("model_config.yaml", "n_head"), 8);
  EXPECT_EQ(config.Text("model_config.yaml", "hf_config.name"), "pythia");
  EXPECT_EQ(config.Integer("model_config.yaml", "bias"), 0);
  EXPECT_EQ(config.Integer("params.json", "n_head"), std::nullopt);
}

TEST(ConfigDocuments, ADocumentThatDoesNotParseIsNamed) {
  ConfigDocuments config;
  EXPECT_THAT(config.Add("config.json", "{"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("config.json")));
  EXPECT_THAT(config.Add("a.yaml", "a: [1"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a.yaml:")));
}

TEST(ConfigDocuments, LinesThatStandForBillionsOfOthersEndSoon) {
  std::string text = "a0: &a0 {x: 1, y: 2}\n";
  for (int i = 1; i < 15; ++i) {
    text += absl::StrCat("a", i, ": &a", i, " {");
    for (int j = 0; j < 9; ++j) text += absl::StrCat("k", j, ": *a", i - 1, ", ");
    text += "z: 1}\n";
  }
  ConfigDocuments config;
  CAIRN_EXPECT_OK(config.Add("bomb.yaml", text));
}

}  // namespace
}  // namespace cairn
