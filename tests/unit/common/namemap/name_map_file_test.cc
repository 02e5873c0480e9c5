#include <string>

#include "common/namemap/name_map.h"
#include "common/namemap/rule_check.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

absl::StatusOr<NameMapFile> ParseRule(const std::string& rule) {
  return ParseNameMapFile("sides: [a, b]\nrules:\n  - " + rule + "\n", "f.yaml");
}

TEST(NameMapFile, ARuleNamesTensorsOfEitherSide) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const NameMapFile file, ParseRule("q.{i} [n d] + k.{i} [n d] = qk.{i} [(n | n) d]"));
  ASSERT_EQ(file.maps.size(), 1u);
  const NameMap::Rule& rule = file.maps[0].rules.at(0);
  EXPECT_EQ(rule.sides[0].size(), 2u);
  EXPECT_EQ(rule.sides[1].size(), 1u);
  EXPECT_EQ(rule.where, "f.yaml:3");
  EXPECT_EQ(PartsOf(rule.sides[1]).size(), 2u);
  EXPECT_FALSE(IsRename(rule));
}

TEST(NameMapFile, ChoicesInBracesAreRulesOfTheirOwnThatGoTogether) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const NameMapFile file, ParseRule("x.{w|b}.{i} = y.{i}.{weight|bias} [n]"));
  ASSERT_EQ(file.maps[0].rules.size(), 2u);
  EXPECT_EQ(file.maps[0].rules[1].sides[0][0].name.text(), "x.b.{i}");
  EXPECT_EQ(file.maps[0].rules[1].sides[1][0].name.text(), "y.{i}.bias");
  EXPECT_TRUE(IsRename(file.maps[0].rules[1]));
  EXPECT_FALSE(ParseRule("x.{w|b} = y.{p|q|r} [n]").ok());
}

TEST(NameMapFile, RulesWhoseSidesDoNotHoldTheSameAreRefused) {
  const auto refused = [](const std::string& rule, const std::string& why) {
    EXPECT_THAT(ParseRule(rule),
                StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("f.yaml:3"), HasSubstr(why))))
        << rule;
  };
  refused("x", "expected \"LEFT = RIGHT [axes]\"");
  refused("x = y", "\"x\" without [axes]");
  refused("x [a b = y [a b]", "expected \"NAME [axes]\"");
  refused("x.{i} = y [a]", "expected placeholders");
  refused("x.{i}.{i} = y.{i} [a]", "a placeholder twice");
  refused("x [a b] = y [a c]", "part 1 has axes \"a b\" on the left and \"a c\" on the right");
  refused("x [a a] = y [(a a)]", "has axis \"a\" twice");
  refused("x [(a | a) b] = y [a b]", "the left has 2 parts, the right 1");
  refused("x.{e} [a] = y.{e} [{e} a]", "expected {e} as an axis on one side and in the name on the other");
  refused("x.{e} [a] + z.{e} [a] = y [{e} a]", "one tensor on either side");
  refused("x{i} = y [a]", "a placeholder like {i} stands for a whole piece");
}

TEST(NameMapFile, UnknownKeysAndWrongKindsAreRefusedWithTheirLine) {
  const auto refused = [](const std::string& text, const std::string& why) {
    EXPECT_THAT(ParseNameMapFile(text, "f.yaml"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why))) << text;
  };
  refused("nothing: 1", "f.yaml:1: unknown key \"nothing\"; there are namings, sides");
  refused("- a", "f.yaml:1: expected lines");
  refused("sides: [a]", "f.yaml:1: expected two namings");
  refused("sides: [a, a]", "expected two namings");
  refused("sides: [a, b]\nrules: {x: y}", "f.yaml:2: expected a list of rules");
  refused("sides: [a, b]\nrules: [[x]]", "f.yaml:2: expected a text");
  refused("sides: [a, b]\ntied: {c: {x: y}}", "f.yaml:2: unknown key \"c\"");
  refused("sides: [a, b]\ntied: {a: {x: y}}", "as many pairs");
  refused("namings:\n  n: {paths: deep}", "f.yaml:2: expected flat or nested");
  refused("namings:\n  n: {tied: maybe}", "f.yaml:2: expected omit, alias or copy");
  refused("namings:\n  n: {symbols: {c.json: {a: {when: x}}}}", "expected a key, or a value");
  refused("namings:\n  n: {detect: {name: x}}", "unknown key \"name\"");
  refused("a: [1", "f.yaml:");
  refused("sides: [a, b]\nsides: [a, b]", "\"sides\" a second time");
}

}  // namespace
}  // namespace cairn
