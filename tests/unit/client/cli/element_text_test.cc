#include "client/cli/element_text.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::cli {
namespace {

template <typename T>
std::string Text(Dtype dtype, const std::vector<T>& values) {
  return ElementsToText(dtype, absl::string_view(reinterpret_cast<const char*>(values.data()),
                                                 values.size() * sizeof(T)))
      .value();
}

TEST(ElementsToText, ShowsIntegersOfEveryWidth) {
  EXPECT_EQ(Text<int8_t>(Dtype::kInt8, {-128, 7}), "-128, 7");
  EXPECT_EQ(Text<uint8_t>(Dtype::kUint8, {200}), "200");
  EXPECT_EQ(Text<int16_t>(Dtype::kInt16, {-2}), "-2");
  EXPECT_EQ(Text<uint32_t>(Dtype::kUint32, {4000000000u}), "4000000000");
  EXPECT_EQ(Text<int64_t>(Dtype::kInt64, {INT64_MIN}), "-9223372036854775808");
  EXPECT_EQ(Text<uint64_t>(Dtype::kUint64, {UINT64_MAX}), "18446744073709551615");
  EXPECT_EQ(Text<char>(Dtype::kBool, {0, 1}), "False, True");
}

TEST(ElementsToText, ShowsFloatsWithTheDigitsTheyHave) {
  EXPECT_EQ(Text<float>(Dtype::kFloat32, {0.5f, -2.0f}), "0.5, -2");
  EXPECT_EQ(Text<double>(Dtype::kFloat64, {0.1}), "0.10000000000000001");
  EXPECT_EQ(Text<uint16_t>(Dtype::kBfloat16, {0x3f80, 0x7f80, 0x7fc0}), "1, inf, nan");
  EXPECT_EQ(Text<uint16_t>(Dtype::kFloat16, {0x3c00}), "1");
}

TEST(ElementsToText, ShowsComplexNumbersAndPackedBytes) {
  EXPECT_EQ(Text<float>(Dtype::kComplex64, {1.0f, -2.0f}), "1-2j");
  EXPECT_EQ(Text<uint8_t>(Dtype::kF4Packed, {0xab, 0x01}), "ab, 01");
}

}  // namespace
}  // namespace cairn::cli
