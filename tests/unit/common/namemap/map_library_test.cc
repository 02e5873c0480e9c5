#include "common/namemap/map_library.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/namemap/memory_checkpoint.h"

namespace cairn {
namespace {

using ::cairn::testing::MemoryCheckpoint;
using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

CheckpointIndex Index(const std::vector<std::string>& names, bool nested = false) {
  CheckpointIndex index;
  for (const std::string& name : names) {
    index.entries.push_back(Entry::Tensor(PathOfName(name, nested), Dtype::kFloat32, {1}, 4));
  }
  return index;
}

std::string Way(const absl::StatusOr<std::vector<MapStep>>& way) {
  if (!way.ok()) return std::string(way.status().message());
  std::string text = (*way)[0].from->name;
  for (const MapStep& step : *way) text += " -> " + step.to->name;
  return text;
}

std::unique_ptr<MapLibrary> Library(const std::vector<MapLibrary::File>& files = {}) {
  absl::StatusOr<std::unique_ptr<MapLibrary>> library = MapLibrary::Create(files);
  EXPECT_TRUE(library.ok()) << library.status();
  return *std::move(library);
}

const std::vector<std::string> kLlama = {"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
                                         "model.layers.0.mlp.gate_proj.weight"};
const std::vector<std::string> kLitgpt = {"transformer.wte.weight", "transformer.h.0.attn.qkv.weight",
                                          "transformer.h.0.mlp.fc_1.weight"};

TEST(MapLibrary, DetectsANamingByNamesUnderAPrefix) {
  const auto library = Library();
  EXPECT_EQ((*library->Detect(Index(kLlama), {}))->name, "hf-llama");
  EXPECT_EQ((*library->Detect(
                 Index({"params/transformer/h/0/attention/wq/kernel", "params/transformer/wte/embedding"}, true), {}))
                ->name,
            "easylm");
  EXPECT_EQ(
      (*library->Detect(Index({"_orig_mod.transformer.wte.weight", "_orig_mod.transformer.h.0.attn.qkv.weight"}), {}))
          ->name,
      "litgpt");
}

TEST(MapLibrary, WhatIsOfNoNamingIsRefusedWithTheOnesThereAre) {
  EXPECT_THAT(Library()->Detect(Index({"a.b"}), {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("\"a.b\""), HasSubstr("hf-llama"), HasSubstr("easylm"))));
  EXPECT_THAT(Library()->Find("lama"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("unknown naming \"lama\"; there are")));
}

TEST(MapLibrary, AConfigurationThatSaysOtherwiseRulesANamingOut) {
  ConfigDocuments config;
  CAIRN_ASSERT_OK(config.Add("config.json", R"({"model_type": "bert"})"));
  EXPECT_FALSE(Library()->Detect(Index(kLlama), config).ok());
}

TEST(MapLibrary, TheWayLeadsOverHuggingFaceWhereNoMapLeadsThere) {
  const auto library = Library();
  EXPECT_EQ(Way(library->FindWay("hf-llama", "litgpt", Index(kLlama), {})), "hf-llama -> litgpt");
  EXPECT_EQ(Way(library->FindWay("hf-qwen3", "litgpt", Index(kLlama), {})), "hf-llama -> litgpt");
  EXPECT_EQ(Way(library->FindWay("", "litgpt", Index(kLlama), {})), "hf-llama -> litgpt");
  EXPECT_EQ(Way(library->FindWay("hf", "litgpt", Index(kLlama), {})), "hf-llama -> litgpt");
  EXPECT_EQ(Way(library->FindWay("meta-llama", "easylm", Index({}), {})), "meta-llama -> hf-llama -> easylm");
  EXPECT_THAT(Way(library->FindWay("hf-phi", "easylm", Index({}), {})),
              HasSubstr("no map leads from hf-phi to easylm"));
  EXPECT_THAT(Way(library->FindWay("", "hf", Index(kLlama), {})), HasSubstr("is hf-llama already"));
}

TEST(MapLibrary, TheFamilyOfALitgptFileIsToldByNamesAndConfiguration) {
  const auto library = Library();
  EXPECT_THAT(Way(library->FindWay("litgpt", "hf", Index(kLitgpt), {})),
              AllOf(HasSubstr("several maps lead from litgpt to hf"), HasSubstr("hf-llama"), HasSubstr("hf-phi3")));
  ConfigDocuments phi, llama;
  CAIRN_ASSERT_OK(phi.Add("model_config.yaml", "name: Phi-3-mini-4k-instruct\nmlp_class_name: LLaMAMLP\n"));
  CAIRN_ASSERT_OK(llama.Add("model_config.yaml", "name: Llama-3-8B\nmlp_class_name: LLaMAMLP\n"));
  EXPECT_EQ(Way(library->FindWay("", "hf", Index(kLitgpt), llama)), "litgpt -> hf-llama");
  EXPECT_THAT(Way(library->FindWay("", "hf", Index(kLitgpt), phi)), HasSubstr("litgpt -> hf-phi3"));
  EXPECT_EQ(Way(library->FindWay("", "hf",
                                 Index({"transformer.wte.weight", "transformer.h.0.attn.qkv.weight",
                                        "transformer.h.0.attn.qkv.bias", "transformer.h.0.mlp.fc.bias"}),
                                 {})),
            "litgpt -> hf-gpt-neox");
}

TEST(MapLibrary, AFamilyComesWithAFileAndNoCode) {
  const auto library = Library({{"mine.yaml", R"(
namings:
  mine:
    about: my own net
    symbols: {net.json: {width: w}}
    detect: {names: ["blocks.{i}.mix"]}
sides: [hf-llama, mine]
rules:
  - model.layers.{i}.mlp.up_proj.weight = blocks.{i}.mix [inter hidden]
)"}});
  EXPECT_EQ((*library->Detect(Index({"blocks.0.mix"}), {}))->name, "mine");
  EXPECT_EQ(Way(library->FindWay("", "meta-llama", Index({"blocks.0.mix"}), {})), "mine -> hf-llama -> meta-llama");
}

TEST(MapLibrary, AMapOfTheUsersTakesThePlaceOfTheProgramsOwn) {
  const auto library = Library({{"mine.yaml", "sides: [litgpt, hf-llama]\nrules:\n  - a = b [x]\n"}});
  size_t found = 0;
  for (const NameMap& map : library->maps()) {
    if (map.sides[0] == "hf-llama" && map.sides[1] == "litgpt") ++found;
    if (map.sides[0] == "litgpt" && map.sides[1] == "hf-llama") {
      EXPECT_EQ(map.rules.size(), 1u);
      ++found;
    }
  }
  EXPECT_EQ(found, 1u);
}

TEST(MapLibrary, AMapWithAnUnknownNamingOrBaseIsRefused) {
  EXPECT_THAT(MapLibrary::Create({{"x.yaml", "sides: [hf-llama, nowhere]\n"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("x.yaml:1"), HasSubstr("nowhere"))));
  EXPECT_THAT(MapLibrary::Create({{"x.yaml", "namings: {n: {}}\nsides: [hf-llama, n]\nextends: a:b\n"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("extends \"a:b\"")));
  EXPECT_THAT(MapLibrary::Create({{"x.yaml", "namings: {n: {}}\nsides: [hf-llama, n]\nextends: hf-llama:n\n"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("extends \"hf-llama:n\"")));
  EXPECT_THAT(MapLibrary::Create({{"x.yaml", "namings: {n: {}}\nsides: [hf-llama, n]\nderived: {a: 1 +}\n"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("x.yaml:2: a: expression")));
}

TEST(CommonPrefix, IsTakenWhereEveryNameHasIt) {
  EXPECT_EQ(CommonPrefix({"model.a", "model.b"}, {"model."}), 6u);
  EXPECT_EQ(CommonPrefix({"model.x.a", "model.x.b"}, {"x.", "model."}), 8u);
  EXPECT_EQ(CommonPrefix({"model.a", "b"}, {"model."}), 0u);
  EXPECT_EQ(CommonPrefix({"model.a", "model."}, {"model."}), 0u);
  EXPECT_EQ(CommonPrefix({}, {"model."}), 0u);
}

}  // namespace
}  // namespace cairn
