#include "common/namemap/mapped_plan.h"

#include <cstring>
#include <string>
#include <vector>

#include "common/namemap/mapped_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/namemap/memory_checkpoint.h"

namespace cairn {
namespace {

using ::cairn::testing::Apply;
using ::cairn::testing::MemoryCheckpoint;
using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Steps point into it.
const MapLibrary& Library() {
  static const MapLibrary* library = MapLibrary::Create().value().release();
  return *library;
}

std::vector<MapStep> Way(const std::string& from, const std::string& to) {
  return Library().FindWay(from, to, {}, {}).value();
}

ConfigDocuments Config(const std::string& text, const std::string& file = "config.json") {
  ConfigDocuments config;
  EXPECT_TRUE(config.Add(file, text).ok());
  return config;
}

constexpr char kConfig[] =
    R"({"hidden_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1, "model_type": "llama"})";

MemoryCheckpoint Llama() {
  MemoryCheckpoint model;
  model.AddTensor("model.embed_tokens.weight", {11, 8});
  model.AddTensor("model.layers.0.self_attn.q_proj.weight", {8, 8});
  model.AddTensor("model.layers.0.self_attn.k_proj.weight", {4, 8});
  model.AddTensor("model.layers.0.self_attn.v_proj.weight", {4, 8});
  model.AddTensor("lm_head.weight", {11, 8});
  return model;
}

// The bits of a float32.
uint32_t At(const MemoryCheckpoint& checkpoint, size_t entry, size_t element) {
  uint32_t value;
  std::memcpy(&value, checkpoint.bytes(entry).data() + element * sizeof(value), sizeof(value));
  return value;
}

TEST(MappedPlan, HuggingFaceRowsBecomeMetaRowsByTheFormula) {
  MemoryCheckpoint source = Llama();
  CAIRN_ASSERT_OK_AND_ASSIGN(const MemoryCheckpoint mapped,
                             Apply(source, Way("hf-llama", "meta-llama"), {}, Config(kConfig)));
  EXPECT_EQ(mapped.index().entries[1].path.ToString(), "layers.0.attention.wq.weight");
  // Meta's row 2 * i + s of a head is row s * half + i.
  for (size_t head = 0; head < 2; ++head) {
    for (size_t s = 0; s < 2; ++s) {
      for (size_t i = 0; i < 2; ++i) {
        for (size_t column = 0; column < 8; ++column) {
          EXPECT_EQ(At(mapped, 1, (head * 4 + 2 * i + s) * 8 + column),
                    At(source, 1, (head * 4 + s * 2 + i) * 8 + column));
        }
      }
    }
  }
}

TEST(MappedPlan, QueriesKeysAndValuesAreFusedAndSplit) {
  MemoryCheckpoint source = Llama();
  CAIRN_ASSERT_OK_AND_ASSIGN(MemoryCheckpoint fused, Apply(source, Way("hf-llama", "litgpt"), {}, Config(kConfig)));
  EXPECT_EQ(fused.index().entries[1].path.ToString(), "transformer.h.0.attn.qkv.weight");
  EXPECT_EQ(fused.index().entries[1].shape, (Shape{16, 8}));
  EXPECT_EQ(fused.bytes(1), source.bytes(1) + source.bytes(2) + source.bytes(3));
  // The sizes of q and k are not in the fused tensor: the configuration must tell.
  EXPECT_THAT(Apply(fused, Way("litgpt", "hf-llama")),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("\"transformer.h.0.attn.qkv.weight\""),
                                                                 HasSubstr("kv_rows, q_rows is not known"))));
  const ConfigDocuments config = Config("n_head: 2\nn_query_groups: 1\nhead_size: 4\nn_embd: 8\n", "model_config.yaml");
  CAIRN_ASSERT_OK_AND_ASSIGN(const MemoryCheckpoint back, Apply(fused, Way("litgpt", "hf-llama"), {}, config));
  EXPECT_EQ(back.Contents(), source.Contents());
  CAIRN_ASSERT_OK_AND_ASSIGN(const MemoryCheckpoint given, Apply(fused, Way("litgpt", "hf-llama"), {{"heads", 2}}));
  EXPECT_EQ(given.Contents(), source.Contents());
}

TEST(MappedPlan, NamesWithoutARuleAreListed) {
  MemoryCheckpoint source = Llama();
  source.AddTensor("model.extra.weight", {1});
  for (int i = 0; i < 30; ++i) source.AddTensor(absl::StrCat("model.layers.", i, ".odd"), {1});
  EXPECT_THAT(Apply(source, Way("hf-llama", "meta-llama"), {}, Config(kConfig)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("31 names of hf-llama without a rule to meta-llama"),
                             HasSubstr("\"model.extra.weight\""), HasSubstr("\"model.layers.18.odd\", ..."))));
}

TEST(MappedPlan, AShapeThatDoesNotFitTheConfigurationIsNamedWithWhatWasExpected) {
  MemoryCheckpoint source = Llama();
  source.AddTensor("model.layers.1.self_attn.q_proj.weight", {12, 8});
  EXPECT_THAT(Apply(source, Way("hf-llama", "meta-llama"), {}, Config(kConfig)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("\"model.layers.1.self_attn.q_proj.weight\""),
                             HasSubstr("expected shape [heads=2 * 2 * half=2 = 8, hidden=8 = 8], found [12, 8]"))));
}

TEST(MappedPlan, APartThatIsMissingIsNamed) {
  MemoryCheckpoint source;
  source.AddTensor("model.layers.0.self_attn.q_proj.weight", {8, 8});
  source.AddTensor("model.layers.0.self_attn.v_proj.weight", {4, 8});
  EXPECT_THAT(Apply(source, Way("hf-llama", "litgpt"), {}, Config(kConfig)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("\"model.layers.0.self_attn.k_proj.weight\" is missing, which goes with"),
                             HasSubstr("self_attn.q_proj.weight"))));
}

TEST(MappedPlan, AnExpertThatIsMissingIsNamed) {
  MemoryCheckpoint source;
  for (const int e : {0, 2})
    source.AddTensor(absl::StrCat("model.layers.0.mlp.experts.", e, ".up_proj.weight"), {3, 8});
  EXPECT_THAT(Apply(source, Way("hf-qwen3-moe", "torchtitan-qwen3")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("\"model.layers.0.mlp.experts.1.up_proj.weight\" is missing")));
}

TEST(MappedPlan, ExpertsAreStackedInTheirOrder) {
  MemoryCheckpoint source;
  for (const int e : {1, 0, 2})
    source.AddTensor(absl::StrCat("model.layers.0.mlp.experts.", e, ".up_proj.weight"), {3, 8});
  CAIRN_ASSERT_OK_AND_ASSIGN(MemoryCheckpoint stacked, Apply(source, Way("hf-qwen3-moe", "torchtitan-qwen3")));
  ASSERT_EQ(stacked.index().entries.size(), 1u);
  EXPECT_EQ(stacked.index().entries[0].shape, (Shape{3, 3, 8}));
  EXPECT_EQ(stacked.bytes(0), source.bytes(1) + source.bytes(0) + source.bytes(2));
}

TEST(MappedPlan, WhatHasNoCounterpartIsDroppedAndSaid) {
  MemoryCheckpoint source = Llama();
  source.AddTensor("model.layers.0.self_attn.rotary_emb.inv_freq", {2});
  CAIRN_ASSERT_OK_AND_ASSIGN(const MappedPlan plan,
                             MakeMappedPlan(source.index(), Way("hf-llama", "litgpt"), Config(kConfig)));
  EXPECT_THAT(plan.dropped, ElementsAre("model.layers.0.self_attn.rotary_emb.inv_freq"));
  EXPECT_EQ(plan.symbols.at("head_dim"), 4);
}

TEST(MappedPlan, AHeadThatIsTheEmbeddingIsOmittedAliasedOrCopiedAsTheTargetHasIt) {
  MemoryCheckpoint source;
  source.AddTensor("model.embed_tokens.weight", {3, 2});
  CAIRN_ASSERT_OK_AND_ASSIGN(MemoryCheckpoint litgpt, Apply(source, Way("hf-llama", "litgpt")));
  EXPECT_EQ(litgpt.Contents().at("lm_head.weight"), "alias of transformer.wte.weight");
  CAIRN_ASSERT_OK_AND_ASSIGN(const MemoryCheckpoint back, Apply(litgpt, Way("litgpt", "hf-llama")));
  EXPECT_EQ(back.Contents(), source.Contents());
  CAIRN_ASSERT_OK_AND_ASSIGN(const MemoryCheckpoint easylm, Apply(litgpt, Way("litgpt", "easylm")));
  EXPECT_EQ(easylm.index().entries[1].path.ToString(), "lm_head/kernel");
  EXPECT_EQ(easylm.index().entries[1].shape, (Shape{2, 3}));
  EXPECT_EQ(At(easylm, 1, 1), At(source, 0, 2));
}

TEST(MappedPlan, AnEmbeddingThatIsAnAliasOfTheHeadIsTiedAsWell) {
  MemoryCheckpoint source;
  source.AddTensor("lm_head.weight", {3, 2});
  source.Add(Entry::Alias(KeyPath::Of({"transformer.wte.weight"}), KeyPath::Of({"lm_head.weight"})));
  CAIRN_ASSERT_OK_AND_ASSIGN(const MemoryCheckpoint mapped, Apply(source, Way("litgpt", "hf-llama")));
  ASSERT_EQ(mapped.index().entries.size(), 1u);
  EXPECT_EQ(mapped.index().entries[0].path.ToString(), "model.embed_tokens.weight");
  EXPECT_EQ(mapped.bytes(0), source.bytes(0));
}

TEST(MappedPlan, AConfigurationDecidesWhetherAHeadIsTied) {
  MemoryCheckpoint source;
  source.AddTensor("model.embed_tokens.weight", {3, 2});
  CAIRN_ASSERT_OK_AND_ASSIGN(const MemoryCheckpoint none,
                             Apply(source, Way("hf-llama", "litgpt"), {}, Config(R"({"tie_word_embeddings": false})")));
  EXPECT_EQ(none.index().entries.size(), 1u);
  source.AddTensor("lm_head.weight", {3, 2});
  CAIRN_ASSERT_OK_AND_ASSIGN(const MemoryCheckpoint tied,
                             Apply(source, Way("hf-llama", "litgpt"), {}, Config(R"({"tie_word_embeddings": true})")));
  EXPECT_EQ(tied.Contents().at("lm_head.weight"), "alias of transformer.wte.weight");
  CAIRN_ASSERT_OK_AND_ASSIGN(const MemoryCheckpoint both, Apply(source, Way("hf-llama", "litgpt")));
  EXPECT_EQ(both.bytes(1), source.bytes(1));
}

TEST(MappedPlan, AssetsStayAndValuesAreRefused) {
  MemoryCheckpoint source = Llama();
  source.Add(Entry::Asset(KeyPath::Of({"tokenizer.json"}), 2), "{}");
  CAIRN_ASSERT_OK_AND_ASSIGN(MemoryCheckpoint mapped, Apply(source, Way("hf-llama", "litgpt"), {}, Config(kConfig)));
  EXPECT_EQ(mapped.index().entries.back().kind, EntryKind::kAsset);
  EXPECT_EQ(mapped.bytes(mapped.index().entries.size() - 1), "{}");
  source.Add(Entry::OfValue(KeyPath::Of({"step"}), Value::Int(3)));
  EXPECT_THAT(Apply(source, Way("hf-llama", "litgpt"), {}, Config(kConfig)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("found 1 other entry: \"step\"")));
}

TEST(MappedPlan, ElementsOfLessThanAByteAreRenamedAndNotRearranged) {
  MemoryCheckpoint source;
  source.AddTensor("model.layers.0.mlp.up_proj.weight", {4, 8}, Dtype::kF4Packed);
  CAIRN_ASSERT_OK_AND_ASSIGN(const MemoryCheckpoint renamed, Apply(source, Way("hf-llama", "meta-llama")));
  EXPECT_EQ(renamed.bytes(0), source.bytes(0));
  EXPECT_THAT(Apply(source, Way("hf-llama", "easylm")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("packed")));
}

TEST(MappedPlan, TensorsWithoutElementsAreRenamed) {
  MemoryCheckpoint source;
  source.AddTensor("model.norm.weight", {0});
  CAIRN_ASSERT_OK_AND_ASSIGN(const MemoryCheckpoint renamed, Apply(source, Way("hf-llama", "meta-llama")));
  EXPECT_EQ(renamed.index().entries[0].path.ToString(), "norm.weight");
}

TEST(MappedPlan, FlatNamesMayStandBelowOneParentThatAllHave) {
  MemoryCheckpoint source;
  source.AddTensor(KeyPath::Of({"model", "transformer.ln_f.weight"}), Dtype::kFloat32, {4});
  source.AddTensor(KeyPath::Of({"model", "transformer.wte.weight"}), Dtype::kFloat32, {3, 4});
  source.Add(Entry::Alias(KeyPath::Of({"model", "lm_head.weight"}), KeyPath::Of({"model", "transformer.wte.weight"})));
  CAIRN_ASSERT_OK_AND_ASSIGN(const MemoryCheckpoint mapped, Apply(source, Way("litgpt", "hf-llama")));
  ASSERT_EQ(mapped.index().entries.size(), 2u);
  EXPECT_EQ(mapped.index().entries[0].path, KeyPath::Of({"model.norm.weight"}));
  EXPECT_EQ(mapped.index().entries[1].path, KeyPath::Of({"model.embed_tokens.weight"}));
  source.AddTensor(KeyPath::Of({"other", "transformer.x"}), Dtype::kFloat32, {4});
  EXPECT_FALSE(Apply(source, Way("litgpt", "hf-llama")).ok());
}

TEST(MappedPlan, ADamagedSourceIsNotHidden) {
  MemoryCheckpoint source = Llama();
  CAIRN_ASSERT_OK_AND_ASSIGN(const MappedPlan plan,
                             MakeMappedPlan(source.index(), Way("hf-llama", "easylm"), Config(kConfig)));
  class Broken final : public CheckpointReader {
   public:
    explicit Broken(const CheckpointIndex& index) : index_(index) {}
    const CheckpointIndex& index() const override { return index_; }
    absl::Status ReadAt(size_t, uint64_t, absl::Span<char>) override { return absl::DataLossError("bad disk"); }

   private:
    const CheckpointIndex& index_;
  };
  Broken broken(source.index());
  MappedReader reader(broken, plan);
  std::string bytes(plan.target.entries[1].byte_size, '\0');
  EXPECT_THAT(reader.ReadAt(1, 0, absl::MakeSpan(bytes.data(), bytes.size())),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("wq/kernel"), HasSubstr("bad disk"))));
  EXPECT_THAT(reader.ReadAt(1, 1, absl::MakeSpan(bytes.data(), bytes.size())), StatusIs(absl::StatusCode::kOutOfRange));
}

}  // namespace
}  // namespace cairn
