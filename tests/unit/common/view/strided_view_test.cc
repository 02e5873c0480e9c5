#include "common/view/strided_view.h"

#include <cstdint>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(StridedView, RowMajorStridesCountTheElementsOfTheDimensionsBehind) {
  EXPECT_EQ(StridedView::RowMajor({2, 3, 4}, 4).strides, (std::vector<int64_t>{12, 4, 1}));
  EXPECT_EQ(StridedView::ColumnMajor({2, 3, 4}, 4).strides, (std::vector<int64_t>{1, 2, 6}));
  EXPECT_TRUE(StridedView::RowMajor({}, 4).strides.empty());
}

TEST(StridedView, AViewThatFillsItsStorageIsAcceptedAndOneElementMoreIsNot) {
  CAIRN_EXPECT_OK(CheckView(StridedView::RowMajor({2, 3}, 4), 6));
  CAIRN_EXPECT_OK(CheckView({{2, 3}, {1, 2}, 0, 4}, 6));
  CAIRN_EXPECT_OK(CheckView({{2, 3}, {0, 0}, 5, 4}, 6));
  EXPECT_THAT(
      CheckView({{2, 3}, {3, 1}, 1, 4}, 6),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leaves its storage of 6 elements: shape [2, 3]")));
  EXPECT_FALSE(CheckView({{}, {}, 6, 4}, 6).ok());
}

TEST(StridedView, AnEmptyViewMayHaveAnyStridesAndLieAtTheEnd) {
  CAIRN_EXPECT_OK(CheckView({{0, 3}, {kMax, 7}, 6, 4}, 6));
  CAIRN_EXPECT_OK(CheckView({{3, 0}, {1, 1}, 0, 4}, 0));
  EXPECT_FALSE(CheckView({{0, 3}, {1, 1}, 7, 4}, 6).ok());
}

TEST(StridedView, NumbersThatWouldWrapAreRefused) {
  EXPECT_FALSE(CheckView({{3}, {kMax}, 0, 1}, 100).ok());
  EXPECT_FALSE(CheckView({{2, 2}, {kMax, kMax}, kMax, 1}, 100).ok());
  EXPECT_FALSE(CheckView({{kMax, 2}, {0, 0}, 0, 1}, 100).ok());
  EXPECT_FALSE(CheckView({{kMax}, {0}, 0, 16}, 100).ok());
  CAIRN_EXPECT_OK(CheckView({{1, 2}, {kMax, 1}, 0, 1}, 2));
}

TEST(StridedView, NegativeNumbersAndMissingStridesAreRefused) {
  EXPECT_THAT(CheckView({{2}, {-1}, 1, 4}, 6), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("negative")));
  EXPECT_FALSE(CheckView({{2}, {1}, -1, 4}, 6).ok());
  EXPECT_FALSE(CheckView({{-2}, {1}, 0, 4}, 6).ok());
  EXPECT_FALSE(CheckView({{2, 2}, {1}, 0, 4}, 6).ok());
  EXPECT_FALSE(CheckView({{2}, {1}, 0, 0}, 6).ok());
}

TEST(StridedView, CoalescingJoinsWhatFollowsEachOther) {
  EXPECT_EQ(Coalesced(StridedView::RowMajor({2, 1, 3, 4}, 4)), (StridedView{{24}, {1}, 0, 4}));
  EXPECT_EQ(Coalesced({{2, 3, 4}, {100, 4, 1}, 7, 4}), (StridedView{{2, 12}, {100, 1}, 7, 4}));
  EXPECT_EQ(Coalesced({{5, 3, 4}, {0, 4, 1}, 0, 4}), (StridedView{{5, 12}, {0, 1}, 0, 4}));
  EXPECT_EQ(Coalesced({{3, 2}, {1, 3}, 0, 4}), (StridedView{{3, 2}, {1, 3}, 0, 4}));
  EXPECT_EQ(Coalesced({{1, 1}, {9, 9}, 3, 4}), (StridedView{{}, {}, 3, 4}));
  EXPECT_EQ(Coalesced({{4, 0}, {1, 1}, 3, 4}).shape, Shape{0});
  EXPECT_EQ(Coalesced({{1, 1, 2}, {kMax, kMax, 1}, 0, 4}).shape, Shape{2});
}

TEST(StridedView, ContiguousIsWhatLiesInOneRun) {
  EXPECT_TRUE(IsContiguous(StridedView::RowMajor({2, 3}, 4, 9)));
  EXPECT_TRUE(IsContiguous({{1, 6}, {77, 1}, 0, 4}));
  EXPECT_TRUE(IsContiguous({{}, {}, 0, 4}));
  EXPECT_FALSE(IsContiguous({{3, 2}, {1, 3}, 0, 4}));
  EXPECT_FALSE(IsContiguous({{2, 3}, {4, 1}, 0, 4}));
}

TEST(StridedView, PermutingAndSlicingMoveNumbersOnly) {
  const StridedView view = StridedView::RowMajor({2, 3, 4}, 4, 5);
  EXPECT_EQ(*Permuted(view, {2, 0, 1}), (StridedView{{4, 2, 3}, {1, 12, 4}, 5, 4}));
  EXPECT_FALSE(Permuted(view, {0, 1}).ok());
  EXPECT_FALSE(Permuted(view, {0, 1, 1}).ok());
  EXPECT_FALSE(Permuted(view, {0, 1, 3}).ok());
  EXPECT_EQ(*Sliced(view, {{1, 0, 2}, {1, 3, 2}}), (StridedView{{1, 3, 2}, {12, 4, 1}, 19, 4}));
  EXPECT_FALSE(Sliced(view, {{1, 0, 2}, {1, 3, 3}}).ok());
}

}  // namespace
}  // namespace cairn
