#include "common/tensor/dtype.h"

#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "gtest/gtest.h"

namespace cairn {
namespace {

TEST(Dtype, NumbersArePinned) {
  // They are in manifests and on the wire.
  EXPECT_EQ(static_cast<int>(Dtype::kBool), 1);
  EXPECT_EQ(static_cast<int>(Dtype::kInt64), 5);
  EXPECT_EQ(static_cast<int>(Dtype::kUint64), 9);
  EXPECT_EQ(static_cast<int>(Dtype::kFloat16), 10);
  EXPECT_EQ(static_cast<int>(Dtype::kBfloat16), 11);
  EXPECT_EQ(static_cast<int>(Dtype::kFloat32), 12);
  EXPECT_EQ(static_cast<int>(Dtype::kComplex128), 15);
  EXPECT_EQ(static_cast<int>(Dtype::kFloat8E4M3Fn), 16);
  EXPECT_EQ(static_cast<int>(Dtype::kFloat4E2M1Fn), 26);
  EXPECT_EQ(static_cast<int>(Dtype::kUint2), 30);
  EXPECT_EQ(static_cast<int>(Dtype::kF6E3M2Packed), 33);
  EXPECT_EQ(AllDtypes().size(), 33u);
}

TEST(Dtype, EveryNameIsItsOwnAndParsesBack) {
  std::set<std::string> names;
  for (Dtype dtype : AllDtypes()) {
    const std::string name(DtypeName(dtype));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_EQ(ParseDtype(name), dtype) << name;
    EXPECT_EQ(ParseDtype(absl::AsciiStrToUpper(name)), dtype) << name;
    EXPECT_EQ(DtypeFromNumber(static_cast<uint32_t>(dtype)), dtype) << name;
    EXPECT_GT(BitWidth(dtype), 0) << name;
  }
}

TEST(Dtype, TakesTheSpellingsOfSafetensorsAndEasyLm) {
  EXPECT_EQ(ParseDtype("BF16"), Dtype::kBfloat16);
  EXPECT_EQ(ParseDtype("bf16"), Dtype::kBfloat16);
  EXPECT_EQ(ParseDtype("fp16"), Dtype::kFloat16);
  EXPECT_EQ(ParseDtype("fp32"), Dtype::kFloat32);
  EXPECT_EQ(ParseDtype("fp64"), Dtype::kFloat64);
  EXPECT_EQ(ParseDtype("F8_E4M3"), Dtype::kFloat8E4M3Fn);
  EXPECT_EQ(ParseDtype("F8_E8M0"), Dtype::kFloat8E8M0Fnu);
  EXPECT_EQ(ParseDtype("F4"), Dtype::kF4Packed);
  EXPECT_EQ(ParseDtype("I64"), Dtype::kInt64);
  EXPECT_EQ(ParseDtype("BOOL"), Dtype::kBool);
}

TEST(Dtype, KnowsNothingOfOtherNamesAndNumbers) {
  EXPECT_EQ(ParseDtype(""), std::nullopt);
  EXPECT_EQ(ParseDtype("invalid"), std::nullopt);
  EXPECT_EQ(ParseDtype("float31"), std::nullopt);
  EXPECT_EQ(ParseDtype("float32 "), std::nullopt);
  EXPECT_EQ(DtypeFromNumber(0), std::nullopt);
  EXPECT_EQ(DtypeFromNumber(34), std::nullopt);
  EXPECT_EQ(DtypeFromNumber(256 + 1), std::nullopt);
  EXPECT_EQ(BitWidth(Dtype::kInvalid), 0);
  EXPECT_EQ(BitWidth(static_cast<Dtype>(200)), 0);
  EXPECT_EQ(DtypeName(static_cast<Dtype>(200)), "invalid");
}

TEST(Dtype, SubByteTypesTakeAByteUnlessTheyArePacked) {
  EXPECT_EQ(BitWidth(Dtype::kInt4), 8);
  EXPECT_EQ(BitWidth(Dtype::kFloat6E2M3Fn), 8);
  EXPECT_EQ(BitWidth(Dtype::kF4Packed), 4);
  EXPECT_EQ(BitWidth(Dtype::kF6E2M3Packed), 6);
  EXPECT_EQ(BitWidth(Dtype::kBool), 8);
  EXPECT_EQ(BitWidth(Dtype::kComplex64), 64);
}

TEST(Dtype, FloatsAreWhatACastAppliesTo) {
  for (Dtype dtype : {Dtype::kFloat16, Dtype::kBfloat16, Dtype::kFloat32, Dtype::kFloat64, Dtype::kFloat8E5M2,
                      Dtype::kFloat4E2M1Fn}) {
    EXPECT_TRUE(IsFloat(dtype)) << DtypeName(dtype);
  }
  for (Dtype dtype :
       {Dtype::kInvalid, Dtype::kBool, Dtype::kInt8, Dtype::kComplex64, Dtype::kF4Packed, Dtype::kInt4}) {
    EXPECT_FALSE(IsFloat(dtype)) << DtypeName(dtype);
  }
}

}  // namespace
}  // namespace cairn
