#include "common/tensor/shape.h"

#include <cstdint>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::IsOk;
using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

TEST(Shape, IsShownInBrackets) {
  EXPECT_EQ(ShapeToString({2, 3}), "[2, 3]");
  EXPECT_EQ(ShapeToString({}), "[]");
}

TEST(ElementCount, MultipliesTheExtents) {
  EXPECT_EQ(ElementCount({}).value(), 1u);
  EXPECT_EQ(ElementCount({7}).value(), 7u);
  EXPECT_EQ(ElementCount({2, 3, 4}).value(), 24u);
  EXPECT_EQ(ElementCount({5, 0, 3}).value(), 0u);
  EXPECT_EQ(ElementCount({kMax}).value(), static_cast<uint64_t>(kMax));
}

TEST(ElementCount, RefusesWhatCannotBe) {
  EXPECT_THAT(ElementCount({2, -1}), StatusIs(kInvalid, HasSubstr("[2, -1]: negative extent -1")));
  EXPECT_THAT(ElementCount({0, -1}), StatusIs(kInvalid));
  EXPECT_THAT(ElementCount({kMax, 2}), StatusIs(kInvalid));
  EXPECT_THAT(ElementCount({int64_t{1} << 32, int64_t{1} << 32}), StatusIs(kInvalid));
  EXPECT_THAT(ElementCount({int64_t{1} << 21, int64_t{1} << 21, int64_t{1} << 21}), StatusIs(kInvalid));
  EXPECT_THAT(ElementCount({int64_t{1} << 62, 4, 0}), StatusIs(kInvalid)) << "strides would wrap";
}

TEST(ElementCount, RefusesTooManyDimensions) {
  EXPECT_THAT(ElementCount(Shape(kMaxRank, 1)), IsOk());
  EXPECT_THAT(ElementCount(Shape(kMaxRank + 1, 1)), StatusIs(kInvalid, HasSubstr("rank 33")));
}

TEST(ByteSize, CountsBytes) {
  EXPECT_EQ(ByteSize(Dtype::kFloat32, {2, 3}).value(), 24u);
  EXPECT_EQ(ByteSize(Dtype::kComplex128, {}).value(), 16u);
  EXPECT_EQ(ByteSize(Dtype::kInt4, {3}).value(), 3u);
  EXPECT_EQ(ByteSize(Dtype::kFloat64, {0, 9}).value(), 0u);
  EXPECT_EQ(ByteSize(Dtype::kInt8, {kMax}).value(), static_cast<uint64_t>(kMax));
}

TEST(ByteSize, PackedTypesMustFillTheLastByte) {
  EXPECT_EQ(ByteSize(Dtype::kF4Packed, {3, 2}).value(), 3u);
  EXPECT_EQ(ByteSize(Dtype::kF6E2M3Packed, {4}).value(), 3u);
  EXPECT_EQ(ByteSize(Dtype::kF6E3M2Packed, {0}).value(), 0u);
  EXPECT_THAT(ByteSize(Dtype::kF4Packed, {3}), StatusIs(kInvalid, HasSubstr("do not fill the last byte")));
  EXPECT_THAT(ByteSize(Dtype::kF6E2M3Packed, {2}), StatusIs(kInvalid));
}

TEST(ByteSize, RefusesWhatCannotBe) {
  EXPECT_THAT(ByteSize(Dtype::kInvalid, {1}), StatusIs(kInvalid));
  EXPECT_THAT(ByteSize(static_cast<Dtype>(99), {1}), StatusIs(kInvalid));
  EXPECT_THAT(ByteSize(Dtype::kInt16, {kMax}), StatusIs(kInvalid));
  EXPECT_THAT(ByteSize(Dtype::kComplex128, {int64_t{1} << 60}), StatusIs(kInvalid));
  EXPECT_THAT(ByteSize(Dtype::kF4Packed, {kMax - 1}), StatusIs(kInvalid));
  EXPECT_THAT(ByteSize(Dtype::kFloat32, {-3}), StatusIs(kInvalid));
}

TEST(Box, IsShownAsRanges) {
  EXPECT_EQ((Box{{0, 3}, {2, 3}}).ToString(), "[0:2, 3:6]");
  EXPECT_EQ(Box{}.ToString(), "[]");
  EXPECT_EQ(Box::Whole({4, 5}), (Box{{0, 0}, {4, 5}}));
}

TEST(Box, IsShownWhereItEndsBeyondAllIntegers) {
  EXPECT_EQ((Box{{kMax, 1}, {2, 3}}).ToString(), "[9223372036854775807:9223372036854775807+2, 1:4]");
}

TEST(CheckBox, TakesBoxesInsideTheShape) {
  CAIRN_EXPECT_OK(CheckBox(Box::Whole({4, 5}), {4, 5}));
  CAIRN_EXPECT_OK(CheckBox({{3, 0}, {1, 5}}, {4, 5}));
  CAIRN_EXPECT_OK(CheckBox({{4, 0}, {0, 5}}, {4, 5})) << "an empty box at the far end";
  CAIRN_EXPECT_OK(CheckBox({}, {}));
}

TEST(CheckBox, RefusesBoxesThatLeaveTheShape) {
  EXPECT_THAT(CheckBox({{0}, {4}}, {4, 5}), StatusIs(kInvalid, HasSubstr("rank")));
  EXPECT_THAT(CheckBox({{0, 0}, {4}}, {4, 5}), StatusIs(kInvalid));
  EXPECT_THAT(CheckBox({{0, 1}, {4, 5}}, {4, 5}), StatusIs(kInvalid, HasSubstr("in dimension 1")));
  EXPECT_THAT(CheckBox({{-1, 0}, {4, 5}}, {4, 5}), StatusIs(kInvalid));
  EXPECT_THAT(CheckBox({{0, 0}, {-1, 5}}, {4, 5}), StatusIs(kInvalid));
  EXPECT_THAT(CheckBox({{5, 0}, {0, 5}}, {4, 5}), StatusIs(kInvalid));
  EXPECT_THAT(CheckBox({{1}, {kMax}}, {4}), StatusIs(kInvalid)) << "the sum would wrap";
  EXPECT_THAT(CheckBox({{kMax}, {kMax}}, {4}), StatusIs(kInvalid));
}

TEST(Intersect, GivesTheCommonBox) {
  Box common;
  EXPECT_TRUE(Intersect({{0, 0}, {3, 3}}, {{1, 2}, {5, 5}}, &common));
  EXPECT_EQ(common, (Box{{1, 2}, {2, 1}}));
  EXPECT_TRUE(Intersect({}, {}, &common)) << "a scalar is one element";
  EXPECT_EQ(common, Box{});
}

TEST(Intersect, BoxesThatOnlyTouchShareNothing) {
  Box common;
  EXPECT_FALSE(Intersect({{0, 0}, {3, 3}}, {{3, 0}, {3, 3}}, &common));
  EXPECT_FALSE(Intersect({{0, 0}, {3, 3}}, {{0, 5}, {3, 3}}, &common));
  EXPECT_FALSE(Intersect({{0, 0}, {3, 3}}, {{1, 1}, {0, 2}}, &common)) << "no elements";
}

}  // namespace
}  // namespace cairn
