#include "common/namemap/axes.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

TEST(Axes, AWordIsADimensionAndParenthesesMakeProducts) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Axes axes, Axes::Parse("(heads 2 half) hidden"));
  ASSERT_EQ(axes.dims.size(), 2u);
  EXPECT_EQ(axes.part_count(), 1u);
  EXPECT_EQ(Evaluate(axes.dims[0], {{"heads", 4}, {"half", 8}}, 1), 64);
  EXPECT_EQ(Evaluate(axes.dims[0], {{"heads", 4}}, 1), std::nullopt);
  EXPECT_EQ(Evaluate(axes.dims[1], {{"hidden", 9}}, 1), 9);
}

TEST(Axes, PartsOfADimensionAreAddedUp) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Axes axes, Axes::Parse("(q | kv | kv) hidden"));
  EXPECT_EQ(axes.part_count(), 3u);
  EXPECT_EQ(Evaluate(axes.dims[0], {{"q", 10}, {"kv", 2}}, 1), 14);
  CAIRN_ASSERT_OK_AND_ASSIGN(const Axes grouped, Axes::Parse("(groups (per_group | 1 | 1) head_dim)"));
  EXPECT_EQ(Evaluate(grouped.dims[0], {{"groups", 2}, {"per_group", 3}, {"head_dim", 5}}, 1), 50);
  EXPECT_EQ(grouped.Part(0)[0].size(), 3u);
  EXPECT_EQ(grouped.Part(1)[0].size(), 2u);
}

TEST(Axes, AStackedAxisIsCountedByNames) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Axes axes, Axes::Parse("{e} rows hidden"));
  EXPECT_TRUE(axes.stacked());
  EXPECT_EQ(axes.stack_placeholder, "e");
  EXPECT_EQ(Evaluate(axes.dims[0], {}, 8), 8);
}

TEST(Axes, WhatIsNoSuchTextIsRefused) {
  for (const char* text : {"(a", "a)", "(a | )", "(| a)", "((a b) c)", "(a | b) (c | d)", "{e", "{2} a", "{e} {f}",
                           "0 a", "a-b", "((a | b) (c | d))", "(a (b | c) | d)"}) {
    EXPECT_THAT(Axes::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text))) << text;
  }
}

TEST(Axes, TheOneUnknownSymbolOfADimensionFollowsFromItsSize) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Axes axes, Axes::Parse("(q | kv | kv)"));
  Symbols symbols{{"q", 10}};
  EXPECT_TRUE(SolveFor(axes.dims[0], 14, 1, false, symbols));
  EXPECT_EQ(symbols["kv"], 2);
  symbols = {{"q", 10}};
  EXPECT_FALSE(SolveFor(axes.dims[0], 15, 1, false, symbols));  // An odd number of rows for k and v.
  EXPECT_FALSE(SolveFor(axes.dims[0], 9, 1, false, symbols));
  symbols = {};
  EXPECT_FALSE(SolveFor(axes.dims[0], 14, 1, false, symbols));  // Two are unknown.
}

TEST(Axes, ALocalSymbolIsFoundOnlyWhereItIsAskedFor) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Axes axes, Axes::Parse("_rows"));
  Symbols symbols;
  EXPECT_FALSE(SolveFor(axes.dims[0], 7, 1, false, symbols));
  EXPECT_TRUE(SolveFor(axes.dims[0], 7, 1, true, symbols));
  EXPECT_EQ(symbols["_rows"], 7);
}

TEST(Axes, SizesBeyond64BitsAreUnknown) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Axes axes, Axes::Parse("(a a)"));
  EXPECT_EQ(Evaluate(axes.dims[0], {{"a", int64_t{1} << 40}}, 1), std::nullopt);
}

TEST(Axes, AMessageShowsWhatIsKnown) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Axes axes, Axes::Parse("(heads (q | 1) half)"));
  EXPECT_EQ(Explain(axes.dims[0], {{"heads", 4}}), "heads=4 * (q + 1) * half");
}

}  // namespace
}  // namespace cairn
