#include "common/namemap/renames.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Name(const std::string& text, const std::string& name) {
  const absl::StatusOr<Renames> renames = Renames::Parse(text, "r.yaml");
  EXPECT_TRUE(renames.ok()) << renames.status();
  if (!renames.ok()) return "";
  const auto renamed = renames->Find(name);
  return renamed.has_value() ? renamed->name : "stays";
}

TEST(Renames, GiveOtherNamesToThoseThatAreListedAndToNoOthers) {
  const std::string text = "wte.weight: embed.weight\nhead/kernel: lm_head/kernel\n";
  EXPECT_EQ(Name(text, "wte.weight"), "embed.weight");
  EXPECT_EQ(Name(text, "head/kernel"), "lm_head/kernel");
  EXPECT_EQ(Name(text, "wte.bias"), "stays");
}

TEST(Renames, CarryNumbersOver) {
  const std::string text = "blocks.{i}.experts.{e}.w: layers.{i}.{e}.w";
  EXPECT_EQ(Name(text, "blocks.10.experts.3.w"), "layers.10.3.w");
  EXPECT_EQ(Name(text, "blocks.x.experts.3.w"), "stays");
}

TEST(Renames, CarryWhatAStarStandsFor) {
  EXPECT_EQ(Name("encoder.*: model.encoder.*", "encoder.h.0.w"), "model.encoder.h.0.w");
  EXPECT_EQ(Name("'*.gamma': '*.weight'", "h.0.norm.gamma"), "h.0.norm.weight");
  EXPECT_EQ(Name("a.*.b: c.*.d", "a.b"), "stays");
}

TEST(Renames, PutNamesWithoutAStarFirst) {
  const std::string text = "- a.*: x.*\n- a.w: y\n- a.{i}: z.{i}\n";
  EXPECT_EQ(Name(text, "a.w"), "y");
  EXPECT_EQ(Name(text, "a.1"), "z.1");
  EXPECT_EQ(Name(text, "a.b"), "x.b");
}

TEST(Renames, MayBeJson) { EXPECT_EQ(Name(R"({"a": "b"})", "a"), "b"); }

TEST(Renames, SayWhereTheFileIsWrong) {
  const auto refused = [](const std::string& text, const std::string& what) {
    EXPECT_THAT(Renames::Parse(text, "r.yaml"), StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("r.yaml"), HasSubstr(what)))) << text;
  };
  refused("a: b\na: c\n", "second time");
  refused("a: b\nc: [d]\n", "r.yaml:2");
  refused("a.{i}: b.{j}", "same placeholders");
  refused("a.*: b", "one *");
  refused("a.*.*: b.*.*", "one *");
  refused("a.{i}.*: b.*", "no placeholders");
  refused("just text", "old: new");
  refused("a: \"", "r.yaml:");
  refused(std::string((1 << 20) + 1, 'x'), "at most");
}

}  // namespace
}  // namespace cairn
