#include "common/recipe/recipe.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/convert/fakes.h"

namespace cairn {
namespace {

using ::cairn::testing::FakeReader;
using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void AddFloats(FakeReader& reader, const std::string& path) {
  reader.Add(Entry::Tensor(KeyPath::Parse(path).value(), Dtype::kFloat32, {2}, 8), "12345678");
}

absl::StatusOr<std::vector<std::string>> Names(FakeReader& reader, const RecipeRequest& request) {
  absl::StatusOr<std::unique_ptr<Recipe>> recipe = Recipe::Create(reader, nullptr, request);
  if (!recipe.ok()) return recipe.status();
  std::vector<std::string> names;
  for (const Entry& entry : (*recipe)->plan().target.entries) {
    names.push_back(entry.path.ToString() + (entry.kind == EntryKind::kAlias ? "->" + entry.target.ToString() : ""));
  }
  return names;
}

class RecipeTest : public ::testing::Test {
 protected:
  RecipeTest() {
    AddFloats(reader_, "model/base.wte.weight");
    AddFloats(reader_, "model/base.h.0.w");
    reader_.Add(Entry::Alias(KeyPath::Parse("model/lm_head.weight").value(), KeyPath::Parse("model/base.wte.weight").value()));
    AddFloats(reader_, "optimizer/x");
    reader_.Add(Entry::Asset(KeyPath::Of({"config.json"}), 2), "{}");
  }
  std::vector<std::string> NamesFor(const RecipeRequest& request) {
    const auto names = Names(reader_, request);
    EXPECT_TRUE(names.ok()) << names.status();
    return names.value_or(std::vector<std::string>());
  }
  FakeReader reader_;
};

TEST_F(RecipeTest, AppliesItsPartsInTheirOrder) {
  RecipeRequest request;
  request.select = {"!**/lm_head*"};
  request.weights_only = true;
  request.strip_prefix = "base.";
  request.renames = MapLibrary::File{"r.yaml", "wte.weight: embed.weight\nh.{i}.w: layers.{i}.w\n"};
  request.prefix = "net.";
  request.float_dtype = Dtype::kFloat16;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto recipe, Recipe::Create(reader_, nullptr, request));
  const std::vector<Entry>& entries = recipe->plan().target.entries;
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].path.ToString(), "net.embed.weight");
  EXPECT_EQ(entries[0].dtype, Dtype::kFloat16);
  EXPECT_EQ(entries[1].path.ToString(), "net.layers.0.w");
  EXPECT_EQ(entries[2].path.ToString(), "config.json");
  EXPECT_EQ(recipe->plan().steps[1].source_entry, 1u);
}

TEST_F(RecipeTest, LetsAliasesFollow) {
  RecipeRequest request;
  request.root = "model";
  request.strip_prefix = "base.";
  request.prefix = "params/";
  EXPECT_THAT(NamesFor(request), ElementsAre("params/wte.weight", "params/h.0.w", "params/lm_head.weight->params/wte.weight", "config.json"));
}

TEST_F(RecipeTest, RefusesNamesThatCollideByBoth) {
  RecipeRequest request;
  request.renames = MapLibrary::File{"r.yaml", "model/base.h.0.w: model/base.wte.weight\n"};
  EXPECT_THAT(Names(reader_, request), StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("model/base.h.0.w"), HasSubstr("would both"))));
}

TEST_F(RecipeTest, RefusesWhatMatchesNothing) {
  RecipeRequest request;
  request.renames = MapLibrary::File{"r.yaml", "nobody: somebody\n"};
  EXPECT_THAT(Names(reader_, request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"nobody\"")));
  request = {};
  request.strip_prefix = "transformer.";
  EXPECT_THAT(Names(reader_, request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("transformer.")));
}

TEST_F(RecipeTest, MapsTheNamesThatTheOtherPartsLeave) {
  FakeReader llama;
  llama.Add(Entry::Tensor(KeyPath::Parse("model/_orig_mod.transformer.wte.weight").value(), Dtype::kFloat32, {2, 1}, 8), "12345678");
  llama.Add(Entry::Tensor(KeyPath::Parse("model/_orig_mod.transformer.ln_f.weight").value(), Dtype::kFloat32, {1}, 4), "1234");
  AddFloats(llama, "optimizer/x");
  RecipeRequest request;
  request.weights_only = true;
  request.map = MappingRequest{.map = "litgpt:hf-llama"};
  request.prefix = "net.";
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> names, Names(llama, request));
  EXPECT_THAT(names, ElementsAre("net.model.embed_tokens.weight", "net.model.norm.weight"));
}

TEST(RecipeRequest, HasAnIdentityThatTellsRequestsApart) {
  EXPECT_EQ(RecipeRequest().Identity(), "");
  RecipeRequest strip, prefix, map;
  strip.strip_prefix = "model.";
  prefix.prefix = "model.";
  map.map = MappingRequest{.map = "litgpt"};
  EXPECT_NE(strip.Identity(), prefix.Identity());
  const std::string plain = map.Identity();
  map.map->given["heads"] = 2;
  EXPECT_NE(map.Identity(), plain);
}

}  // namespace
}  // namespace cairn
