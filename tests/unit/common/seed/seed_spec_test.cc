#include "common/seed/seed_spec.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kConfig[] =
    R"({"model_type": "llama", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 10, "vocab_size": 13, "torch_dtype": "bfloat16", "initializer_range": 0.03})";

absl::StatusOr<std::map<std::string, SeedTensor>> OfConfig(const std::string& text, const std::string& init = "hf") {
  const absl::StatusOr<SeedSpec> spec = SeedSpec::OfConfig(text, "c.json", init);
  if (!spec.ok()) return spec.status();
  const absl::StatusOr<std::vector<SeedTensor>> tensors = ExpandSeedSpec(*spec);
  if (!tensors.ok()) return tensors.status();
  std::map<std::string, SeedTensor> by_name;
  for (const SeedTensor& tensor : *tensors) by_name.emplace(tensor.path.ToString(), tensor);
  return by_name;
}

std::string With(const std::string& key, const std::string& value) {
  return absl::StrReplaceAll(kConfig, {{"{\"model_type", absl::StrCat("{\"", key, "\": ", value, ", \"model_type")}});
}

std::string Without(const std::string& key) { return absl::StrReplaceAll(kConfig, {{absl::StrCat("\"", key, "\""), "\"x\""}}); }

absl::StatusOr<std::vector<SeedTensor>> OfYaml(const std::string& text, const std::vector<SeedRule>& rules = {}) {
  const absl::StatusOr<SeedSpec> spec = SeedSpec::Parse(text, "s.yaml");
  if (!spec.ok()) return spec.status();
  return ExpandSeedSpec(*spec, rules);
}

TEST(SeedConfigTest, ALlamaHasItsTensorsAndShapes) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tensors, OfConfig(kConfig));
  EXPECT_EQ(tensors.size(), 2u * 9 + 3);
  EXPECT_THAT(tensors.at("model.embed_tokens.weight").shape, ElementsAre(13, 24));
  EXPECT_THAT(tensors.at("model.layers.1.self_attn.k_proj.weight").shape, ElementsAre(12, 24));
  EXPECT_THAT(tensors.at("model.layers.1.mlp.down_proj.weight").shape, ElementsAre(24, 10));
  EXPECT_EQ(tensors.at("model.layers.0.input_layernorm.weight").fill.offset, 1);
  EXPECT_EQ(tensors.at("lm_head.weight").fill.scale, 0.03);
  EXPECT_EQ(SeedSpec::OfConfig(kConfig, "c.json", "hf")->dtype, Dtype::kBfloat16);
}

TEST(SeedConfigTest, ATiedHeadIsLeftOut) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tensors, OfConfig(With("tie_word_embeddings", "true")));
  EXPECT_FALSE(tensors.contains("lm_head.weight"));
}

TEST(SeedConfigTest, ModelsDifferInBiasesAndNorms) {
  const auto of = [](const std::string& model) { return OfConfig(absl::StrReplaceAll(kConfig, {{"llama", model}})).value(); };
  EXPECT_EQ(of("qwen2").at("model.layers.0.self_attn.q_proj.bias").fill.scale, 0);
  EXPECT_FALSE(of("qwen2").contains("model.layers.0.self_attn.o_proj.bias"));
  EXPECT_THAT(of("qwen3").at("model.layers.0.self_attn.q_norm.weight").shape, ElementsAre(128));
  EXPECT_EQ(of("mistral").size(), 21u);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto biased, OfConfig(With("attention_bias", "true")));
  EXPECT_TRUE(biased.contains("model.layers.0.self_attn.o_proj.bias"));
}

TEST(SeedConfigTest, TorchtitansSchemeScalesWithTheLayer) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tensors, OfConfig(kConfig, "torchtitan"));
  EXPECT_EQ(tensors.at("model.embed_tokens.weight").fill.scale, 1);
  EXPECT_EQ(tensors.at("model.layers.1.self_attn.q_proj.weight").fill.scale, 0.02);
  EXPECT_EQ(tensors.at("model.layers.1.self_attn.o_proj.weight").fill.scale, 0.01);
  EXPECT_EQ(tensors.at("model.layers.1.mlp.up_proj.weight").fill.scale, 0.01);
  EXPECT_NEAR(tensors.at("lm_head.weight").fill.scale, 0.204124, 1e-6);
}

TEST(SeedConfigTest, WhatIsWrongIsNamedWithWhatToDo) {
  for (const auto& [text, what] : std::vector<std::pair<std::string, std::string>>{
           {"{", "c.json: "},
           {absl::StrReplaceAll(kConfig, {{"llama", "bert"}}), "model_type: expected one of llama, mistral, qwen2, qwen3, found \"bert\"; describe"},
           {Without("vocab_size"), "c.json: expected the key \"vocab_size\", found none; add it"},
           {absl::StrReplaceAll(Without("num_key_value_heads"), {{"llama", "mistral"}}), "expected the key \"num_key_value_heads\""},
           {absl::StrReplaceAll(kConfig, {{": 24", ": 26"}}), "hidden_size to be a multiple of num_attention_heads, found 26 and 4"},
           {absl::StrReplaceAll(kConfig, {{"heads\": 2", "heads\": 3"}}), "multiple of num_key_value_heads, found 4 and 3"},
           {absl::StrReplaceAll(kConfig, {{": 24", ": -1"}}), "hidden_size: expected a whole number from 1 to 2^31 - 1, found -1"},
           {absl::StrReplaceAll(kConfig, {{"0.03", "\"x\""}}), "initializer_range: expected a number above 0, found x"},
           {absl::StrReplaceAll(kConfig, {{"bfloat16", "auto"}}), "torch_dtype: expected a float type, found \"auto\""},
           {With("quantization_config", "{\"quant_method\": \"gptq\"}"), "found quantization_config"},
       }) {
    EXPECT_THAT(OfConfig(text).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)));
  }
  EXPECT_THAT(OfConfig(kConfig, "x").status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected one of hf, torchtitan, found \"x\"")));
  CAIRN_EXPECT_OK(OfConfig(absl::StrReplaceAll(With("head_dim", "6"), {{": 24", ": 26"}})).status());
}

TEST(SeedSpecTest, PlaceholdersCountUpToTheirSymbols) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tensors, OfYaml("symbols: {layers: 2, experts: 3, wide: 4 * layers}\npaths: nested\n"
                                                        "tensors: [\"l/{layers}/e/{experts}/w [wide, 2 * wide] = ones\", \"s [] = zeros\"]\n"));
  ASSERT_EQ(tensors.size(), 7u);
  EXPECT_EQ(tensors[4].path, KeyPath::Of({"l", "1", "e", "1", "w"}));
  EXPECT_THAT(tensors[4].shape, ElementsAre(8, 16));
  EXPECT_TRUE(tensors[6].shape.empty());
}

TEST(SeedSpecTest, RulesApplyInTheirOrder) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto tensors,
                             OfYaml("tensors: [\"a.w [1]\", \"b.w [1] = constant(value=7)\", \"c.w [1]\", \"d.b [1]\"]\n"
                                    "rules: {\"*.b\": constant(value=1), \"*\": constant(value=2)}\n",
                                    {{"a.*", "constant(value=3)"}}));
  EXPECT_EQ(tensors[0].fill.offset, 3);
  EXPECT_EQ(tensors[1].fill.offset, 7);
  EXPECT_EQ(tensors[2].fill.offset, 2);
  EXPECT_EQ(tensors[3].fill.offset, 1);
}

TEST(SeedSpecTest, WhatIsWrongIsNamedWithItsLine) {
  for (const auto& [text, what] : std::vector<std::pair<std::string, std::string>>{
           {"a: [", "s.yaml:"},
           {"x: 1\n", "s.yaml:1: unknown key \"x\"; there are dtype, paths, symbols, tensors, rules"},
           {"dtype: nonsense\ntensors: []", "s.yaml:1: dtype: expected"},
           {"symbols: {a: b}", "s.yaml:1: \"b\" has a symbol"},
           {"tensors: []", "expected tensors"},
           {"tensors:\n  - w", "s.yaml:2: tensor \"w\": expected NAME [EXTENT, ...]"},
           {"tensors:\n  - w [1] x", "found \"x\" behind it"},
           {"tensors: [\"w [n]\"]", "tensor \"w\": \"n\" has a symbol that is not among symbols"},
           {"tensors: [\"w [1]\"]", "\"w\": no rule says how it begins"},
           {"tensors: [\"w [1] = ones\", \"w [2] = ones\"]", "\"w\" comes a second time"},
           {"tensors: [\"w [0 - 1] = ones\"]", "tensor \"w\""},
           {"tensors: [\"w [1] = one\"]", "expected one of"},
           {"tensors: [\"w.{n} [1] = ones\"]\nsymbols: {n: 5000000}", "expected at most 4000000 tensors"},
       }) {
    EXPECT_THAT(OfYaml(text).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what))) << text;
  }
  EXPECT_THAT(OfYaml("tensors: [\"w [1] = ones\"]", {{"v*", "ones"}}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rule of \"v*\": no tensor has such a name")));
  EXPECT_THAT(SeedRule::Parse("ones").status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected PATTERN=RULE")));
}

}  // namespace
}  // namespace cairn
