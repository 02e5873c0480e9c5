#include "common/base/checked_math.h"

#include <limits>

#include "gtest/gtest.h"

namespace cairn {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(CheckedMath, MultipliesUpToTheLargestNumber) {
  EXPECT_EQ(CheckedMul(3, 5), 15);
  EXPECT_EQ(CheckedMul(kMax, 1), kMax);
  EXPECT_EQ(CheckedMul(kMax, 0), 0);
  EXPECT_EQ(CheckedMul(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(CheckedMul(kMax / 2 + 1, 2), std::nullopt);
}

TEST(CheckedMath, AddsUpToTheLargestNumber) {
  EXPECT_EQ(CheckedAdd(3, 5), 8);
  EXPECT_EQ(CheckedAdd(kMax - 1, 1), kMax);
  EXPECT_EQ(CheckedAdd(kMax, 1), std::nullopt);
}

TEST(CheckedMath, AlignsUp) {
  EXPECT_EQ(AlignUp(0, 8), 0u);
  EXPECT_EQ(AlignUp(1, 8), 8u);
  EXPECT_EQ(AlignUp(8, 8), 8u);
  EXPECT_EQ(AlignUp(4097, 4096), 8192u);
}

TEST(CheckedMath, DividesUpWithoutWrapping) {
  EXPECT_EQ(CeilDiv(0, 4), 0u);
  EXPECT_EQ(CeilDiv(1, 4), 1u);
  EXPECT_EQ(CeilDiv(8, 4), 2u);
  EXPECT_EQ(CeilDiv(kMax, 2), kMax / 2 + 1);
}

}  // namespace
}  // namespace cairn
