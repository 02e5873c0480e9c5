#include "common/view/gather.h"

#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace cairn {
namespace {

std::string Pattern(size_t bytes) {
  std::string pattern(bytes, '\0');
  std::mt19937 random(7);
  for (char& byte : pattern) byte = static_cast<char>(random());
  return pattern;
}

// Element by element, as the definition says.
std::string Expected(const std::string& array, const Shape& shape, const std::vector<int64_t>& strides, size_t size) {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  std::string out;
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, offset = 0;
    for (size_t d = shape.size(); d-- > 0;) {
      offset += rest % shape[d] * strides[d];
      rest /= shape[d];
    }
    out += array.substr(static_cast<size_t>(offset) * size, size);
  }
  return out;
}

class GatherTest : public ::testing::TestWithParam<uint32_t> {};

TEST_P(GatherTest, EveryRangeOfEveryOrderIsTheElementsOfTheDefinition) {
  const uint32_t size = GetParam();
  const std::vector<std::pair<Shape, std::vector<int64_t>>> arrays = {
      {{7, 9}, {9, 1}},  {{67, 131}, {1, 67}},      {{3, 70, 5, 2}, {700, 1, 140, 70}},
      {{4, 5}, {0, 1}},  {{5, 4}, {1, 0}},          {{3, 3}, {0, 0}},
      {{6, 5}, {1, 1}},  {{5, 6, 7}, {1, 35, 5}},   {{33, 4, 2, 9}, {1, 600, 33, 66}},
      {{8, 8}, {20, 2}}, {{2, 40, 40}, {1, 2, 80}},
  };
  for (const auto& [shape, strides] : arrays) {
    int64_t end = 1, count = 1;
    for (size_t d = 0; d < shape.size(); ++d) {
      end += (shape[d] - 1) * strides[d];
      count *= shape[d];
    }
    const std::string array = Pattern(static_cast<size_t>(end) * size);
    const std::string expected = Expected(array, shape, strides, size);
    const Gather gather(shape, strides, size);
    std::mt19937_64 random(11);
    for (int round = 0; round < 60; ++round) {
      uint64_t first = round == 0 ? 0 : random() % static_cast<uint64_t>(count);
      uint64_t length =
          round == 0 ? static_cast<uint64_t>(count) : random() % (static_cast<uint64_t>(count) - first + 1);
      std::string out(length * size + 2, '#');
      gather.Copy(array.data(), first, length, out.data() + 1);
      ASSERT_EQ(out, "#" + expected.substr(first * size, length * size) + "#")
          << ShapeToString(shape) << " " << ShapeToString(strides) << " from " << first << " of " << length;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(ElementSizes, GatherTest, ::testing::Values(1, 2, 3, 4, 8, 16, 24));

}  // namespace
}  // namespace cairn
