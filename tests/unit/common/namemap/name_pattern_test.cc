#include "common/namemap/name_pattern.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(NameTemplate, NumbersAreWholePiecesWithoutLeadingZeros) {
  const NameTemplate name = NameTemplate::Of("layers.12.w1.00.7");
  EXPECT_EQ(name.text, "layers.{}.w1.00.{}");
  EXPECT_THAT(name.numbers, ElementsAre(12, 7));
  EXPECT_EQ(NameTemplate::Of("h/3/kernel").text, "h/{}/kernel");
  EXPECT_EQ(NameTemplate::Of("x.99999999999").text, "x.99999999999");
}

TEST(NamePattern, PlaceholdersTakeNumbersAndGiveThemBack) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const NamePattern pattern, NamePattern::Parse("model.layers.{i}.experts.{e}.w1.weight"));
  const NameTemplate name = NameTemplate::Of("model.layers.3.experts.11.w1.weight");
  EXPECT_EQ(pattern.name_template(), name.text);
  const auto numbers = pattern.Match(name);
  ASSERT_TRUE(numbers.has_value());
  EXPECT_THAT(*numbers, ElementsAre(Pair("e", 11), Pair("i", 3)));
  EXPECT_EQ(pattern.Fill({{"i", 0}, {"e", 5}}), "model.layers.0.experts.5.w1.weight");
}

TEST(NamePattern, ANumberInAPatternIsThatNumber) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const NamePattern pattern, NamePattern::Parse("mlp.0.weight"));
  EXPECT_TRUE(pattern.Match(NameTemplate::Of("mlp.0.weight")).has_value());
  EXPECT_FALSE(pattern.Match(NameTemplate::Of("mlp.1.weight")).has_value());
}

TEST(NamePattern, BracesThatAreNoWholePieceAreRefused) {
  for (const char* text : {"", "a.x{i}", "a.{i", "{}.a", "a.{i}x.b"})
    EXPECT_FALSE(NamePattern::Parse(text).ok()) << text;
}

TEST(MatchesStars, AStarStandsForAnything) {
  EXPECT_TRUE(MatchesStars("vision_tower.a.b", "vision_tower.*"));
  EXPECT_TRUE(MatchesStars("abc", "a*c"));
  EXPECT_TRUE(MatchesStars("abcbc", "a*bc"));
  EXPECT_TRUE(MatchesStars("", "*"));
  EXPECT_FALSE(MatchesStars("ab", "ab*b"));
  EXPECT_FALSE(MatchesStars("abd", "a*c"));
  EXPECT_FALSE(MatchesStars("abc", "ab"));
}

TEST(NameOfPath, AFlatNameIsOneSegmentAndANestedOneSegmentPerLevel) {
  EXPECT_EQ(NameOfPath(KeyPath::Of({"a.b"}), false), "a.b");
  EXPECT_EQ(NameOfPath(KeyPath::Of({"a", "b"}), false), std::nullopt);
  EXPECT_EQ(NameOfPath(KeyPath::Of({"a", "0", "b"}), true), "a/0/b");
  EXPECT_EQ(NameOfPath(KeyPath({std::string("a"), int64_t{0}}), true), "a/0");
  EXPECT_EQ(NameOfPath(KeyPath::Of({"a/b"}), true), std::nullopt);
  EXPECT_EQ(PathOfName("a/0/b", true), KeyPath::Of({"a", "0", "b"}));
  EXPECT_EQ(PathOfName("a/0/b", false), KeyPath::Of({"a/0/b"}));
}

}  // namespace
}  // namespace cairn
