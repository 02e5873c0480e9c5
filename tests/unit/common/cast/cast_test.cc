// The scalar specification against facts that do not come from it, and what CastElements refuses.

#include "common/cast/cast.h"

#include <limits>
#include <map>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/cast/cast_codes.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <typename Float, typename Code>
Code BitsOf(Float value) {
  static_assert(sizeof(Float) == sizeof(Code));
  Code code;
  std::memcpy(&code, &value, sizeof(code));
  return code;
}

template <typename Float, typename Code>
Float FloatOf(Code code) {
  static_assert(sizeof(Float) == sizeof(Code));
  Float value;
  std::memcpy(&value, &code, sizeof(value));
  return value;
}

// Doubles of every exponent with mantissas around the ties of float32 and float16; and random ones.
std::vector<uint64_t> InterestingDoubles() {
  std::vector<uint64_t> codes;
  for (uint64_t exponent = 0; exponent < 0x800; ++exponent) {
    for (int bits : {2, 10, 23}) {
      const uint64_t last = uint64_t{1} << (52 - bits);
      for (uint64_t mantissa : {uint64_t{0}, last, last * 2, last / 2, last + last / 2, (uint64_t{1} << 52) - last / 2,
                                (uint64_t{1} << 52) - last}) {
        for (uint64_t delta : {-1, 0, 1}) {
          const uint64_t code = (exponent << 52 | (mantissa & ((uint64_t{1} << 52) - 1))) + delta;
          codes.push_back(code);
          codes.push_back(code ^ uint64_t{1} << 63);
        }
      }
    }
  }
  std::mt19937_64 random(3);
  for (int i = 0; i < 100000; ++i) codes.push_back(random());
  // Random mantissas with the exponents of small types.
  for (int i = 0; i < 100000; ++i) codes.push_back((1023 - 160 + random() % 300) << 52 | random() >> 12);
  return codes;
}

TEST(CastScalar, Float64ToFloat32IsTheCompilersConversion) {
  for (uint64_t code : InterestingDoubles()) {
    const double value = FloatOf<double>(code);
    const uint64_t got = CastCode(Dtype::kFloat64, code, Dtype::kFloat32);
    ASSERT_EQ(got, (BitsOf<float, uint32_t>(static_cast<float>(value)))) << std::hex << code;
  }
}

TEST(CastScalar, Float32ToFloat64IsTheCompilersConversion) {
  for (uint64_t code : InterestingDoubles()) {
    const auto narrow = static_cast<uint32_t>(code >> 32);
    const uint64_t got = CastCode(Dtype::kFloat32, narrow, Dtype::kFloat64);
    ASSERT_EQ(got, (BitsOf<double, uint64_t>(FloatOf<float>(narrow)))) << std::hex << narrow;
  }
}

#if defined(__FLT16_MANT_DIG__)
TEST(CastScalar, Float16IsTheCompilersConversion) {
  for (uint32_t code = 0; code < 0x10000; ++code) {
    const double value = static_cast<double>(FloatOf<_Float16>(static_cast<uint16_t>(code)));
    ASSERT_EQ(CastCode(Dtype::kFloat16, code, Dtype::kFloat64), (BitsOf<double, uint64_t>(value))) << std::hex << code;
  }
  for (uint64_t code : InterestingDoubles()) {
    const double value = FloatOf<double>(code);
    // NaNs are of no interest: which payload bits survive is the run-time library's choice.
    if (std::isnan(value)) continue;
    ASSERT_EQ(CastCode(Dtype::kFloat64, code, Dtype::kFloat16),
              (BitsOf<_Float16, uint16_t>(static_cast<_Float16>(value))))
        << std::hex << code;
    const auto narrow = static_cast<float>(value);
    ASSERT_EQ(CastCode(Dtype::kFloat32, BitsOf<float, uint32_t>(narrow), Dtype::kFloat16),
              (BitsOf<_Float16, uint16_t>(static_cast<_Float16>(narrow))))
        << std::hex << code;
  }
}
#endif

TEST(CastScalar, Bfloat16IsTheUpperHalfOfFloat32) {
  for (uint64_t code = 0; code < 0x10000; ++code) {
    const uint64_t quiet = (code & 0x7fff) > 0x7f80 ? 0x40 : 0;
    ASSERT_EQ(CastCode(Dtype::kBfloat16, code, Dtype::kFloat32), (code | quiet) << 16);
  }
}

// Smallest subnormal, smallest normal, largest finite, one: from the types' definitions, not from our table of them.
struct Landmarks {
  Dtype dtype;
  double least, least_normal, largest;
  uint64_t largest_code, one;
};

const Landmarks kLandmarks[] = {
    {Dtype::kFloat16, 0x1p-24, 0x1p-14, 65504, 0x7bff, 0x3c00},
    {Dtype::kBfloat16, 0x1p-133, 0x1p-126, 0x1.fep127, 0x7f7f, 0x3f80},
    {Dtype::kFloat32, 0x1p-149, 0x1p-126, 0x1.fffffep127, 0x7f7fffff, 0x3f800000},
    {Dtype::kFloat8E4M3Fn, 0x1p-9, 0x1p-6, 448, 0x7e, 0x38},
    {Dtype::kFloat8E5M2, 0x1p-16, 0x1p-14, 57344, 0x7b, 0x3c},
    {Dtype::kFloat8E4M3B11Fnuz, 0x1p-13, 0x1p-10, 30, 0x7f, 0x58},
    {Dtype::kFloat8E4M3Fnuz, 0x1p-10, 0x1p-7, 240, 0x7f, 0x40},
    {Dtype::kFloat8E5M2Fnuz, 0x1p-17, 0x1p-15, 57344, 0x7f, 0x40},
    {Dtype::kFloat8E8M0Fnu, 0x1p-127, 0x1p-127, 0x1p127, 0xfe, 0x7f},
    {Dtype::kFloat8E3M4, 0x1p-6, 0x1p-2, 15.5, 0x6f, 0x30},
    {Dtype::kFloat8E4M3, 0x1p-9, 0x1p-6, 240, 0x77, 0x38},
    {Dtype::kFloat6E2M3Fn, 0.125, 1, 7.5, 0x1f, 0x08},
    {Dtype::kFloat6E3M2Fn, 0.0625, 0.25, 28, 0x1f, 0x0c},
    {Dtype::kFloat4E2M1Fn, 0.5, 1, 6, 0x7, 0x2},
};

TEST(CastScalar, KnowsTheLandmarksOfEveryType) {
  EXPECT_EQ(std::size(kLandmarks) + 1, FloatDtypes().size());
  for (const Landmarks& type : kLandmarks) {
    SCOPED_TRACE(DtypeName(type.dtype));
    EXPECT_EQ(ValueOf(type.dtype, type.largest_code), type.largest);
    EXPECT_EQ(FromDouble(type.largest, type.dtype), type.largest_code);
    EXPECT_EQ(ValueOf(type.dtype, type.one), 1.0);
    EXPECT_EQ(FromDouble(1.0, type.dtype), type.one);
    EXPECT_EQ(ValueOf(type.dtype, FromDouble(type.least, type.dtype)), type.least);
    EXPECT_EQ(ValueOf(type.dtype, FromDouble(type.least_normal, type.dtype)), type.least_normal);
    if (type.dtype == Dtype::kFloat8E8M0Fnu) continue;
    EXPECT_EQ(FromDouble(type.least, type.dtype), 1u);
    EXPECT_EQ(FromDouble(type.least / 2, type.dtype), 0u) << "a tie, and zero is even";
    EXPECT_EQ(ValueOf(type.dtype, FromDouble(-type.least_normal, type.dtype)), -type.least_normal);
  }
}

// What comes out of infinity, minus infinity, NaN, minus NaN and minus zero. 1e300 becomes what infinity becomes.
struct Specials {
  uint64_t infinity, minus_infinity, nan, minus_nan, minus_zero;
};

TEST(CastScalar, TreatsSpecialValuesAsTheHeaderSays) {
  const std::map<Dtype, Specials> specials = {
      {Dtype::kFloat16, {0x7c00, 0xfc00, 0x7e00, 0xfe00, 0x8000}},
      {Dtype::kBfloat16, {0x7f80, 0xff80, 0x7fc0, 0xffc0, 0x8000}},
      {Dtype::kFloat32, {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0x80000000}},
      {Dtype::kFloat8E4M3Fn, {0x7f, 0xff, 0x7f, 0xff, 0x80}},
      {Dtype::kFloat8E5M2, {0x7c, 0xfc, 0x7e, 0xfe, 0x80}},
      {Dtype::kFloat8E4M3B11Fnuz, {0x80, 0x80, 0x80, 0x80, 0x00}},
      {Dtype::kFloat8E4M3Fnuz, {0x80, 0x80, 0x80, 0x80, 0x00}},
      {Dtype::kFloat8E5M2Fnuz, {0x80, 0x80, 0x80, 0x80, 0x00}},
      {Dtype::kFloat8E8M0Fnu, {0xff, 0xff, 0xff, 0xff, 0xff}},
      {Dtype::kFloat8E3M4, {0x70, 0xf0, 0x78, 0xf8, 0x80}},
      {Dtype::kFloat8E4M3, {0x78, 0xf8, 0x7c, 0xfc, 0x80}},
      {Dtype::kFloat6E2M3Fn, {0x1f, 0x3f, 0x1f, 0x3f, 0x20}},
      {Dtype::kFloat6E3M2Fn, {0x1f, 0x3f, 0x1f, 0x3f, 0x20}},
      {Dtype::kFloat4E2M1Fn, {0x7, 0xf, 0x7, 0xf, 0x8}},
  };
  EXPECT_EQ(specials.size(), std::size(kLandmarks));
  for (const Landmarks& type : kLandmarks) {
    SCOPED_TRACE(DtypeName(type.dtype));
    const Specials& want = specials.at(type.dtype);
    EXPECT_EQ(FromDouble(kInfinity, type.dtype), want.infinity);
    EXPECT_EQ(FromDouble(-kInfinity, type.dtype), want.minus_infinity);
    EXPECT_EQ(FromDouble(kNan, type.dtype), want.nan);
    EXPECT_EQ(FromDouble(-kNan, type.dtype), want.minus_nan);
    EXPECT_EQ(FromDouble(-0.0, type.dtype), want.minus_zero);
    EXPECT_EQ(FromDouble(1e300, type.dtype), want.infinity);
    EXPECT_EQ(FromDouble(-1e300, type.dtype), want.minus_infinity);
  }
  EXPECT_EQ(FromDouble(0, Dtype::kFloat8E8M0Fnu), 0xffu);
  EXPECT_EQ(FromDouble(-2, Dtype::kFloat8E8M0Fnu), 0xffu);
  EXPECT_EQ(FromDouble(1e-300, Dtype::kFloat8E8M0Fnu), 0u) << "the smallest is the nearest";
}

TEST(CastScalar, EveryMiddleBetweenNeighboursRoundsToTheEvenOneAndNothingElseIsATie) {
  for (const Landmarks& type : kLandmarks) {
    if (BitWidth(type.dtype) > 16) continue;
    SCOPED_TRACE(DtypeName(type.dtype));
    const bool scale = type.dtype == Dtype::kFloat8E8M0Fnu;
    for (uint64_t code = 0; code <= type.largest_code; ++code) {
      const double value = ValueOf(type.dtype, code);
      ASSERT_EQ(FromDouble(value, type.dtype), code);
      const bool last = code == type.largest_code;
      // As if the exponents went on: where rounding leaves the type.
      const double next = last ? value + (scale ? value : value - ValueOf(type.dtype, code - 1))
                               : ValueOf(type.dtype, code + 1);
      const uint64_t above = last ? FromDouble(kInfinity, type.dtype) : code + 1;
      ASSERT_LT(value, next);
      const double middle = (value + next) / 2;  // Exact: a float64 has bits to spare.
      ASSERT_EQ(FromDouble(std::nextafter(middle, 0), type.dtype), code) << code;
      ASSERT_EQ(FromDouble(std::nextafter(middle, kInfinity), type.dtype), above) << code;
      // The last bit of a scale is the implied one, and odd: up.
      ASSERT_EQ(FromDouble(middle, type.dtype), scale || code % 2 == 1 ? above : code) << code;
      if (scale) continue;
      const uint64_t sign = uint64_t{1} << (CodeBits(type.dtype) - 1);
      const uint64_t below = last ? FromDouble(-kInfinity, type.dtype) : above | sign;
      const uint64_t minus = FromDouble(-value, type.dtype);
      ASSERT_EQ(FromDouble(std::nextafter(-middle, 0), type.dtype), minus) << code;
      ASSERT_EQ(FromDouble(std::nextafter(-middle, -kInfinity), type.dtype), below) << code;
    }
  }
}

TEST(CastScalar, Float64IsRoundedOnceOnItsWayToBfloat16) {
  // Just above the middle between 1 and the next bfloat16: a stop at float32 would lose that and give 1.
  EXPECT_EQ(FromDouble(1 + 0x1p-8 + 0x1p-40, Dtype::kBfloat16), 0x3f81u);
  EXPECT_EQ(FromDouble(1 + 0x1p-8, Dtype::kBfloat16), 0x3f80u);
}

TEST(CastScalar, WideningAndComingBackChangesNothing) {
  for (Dtype narrow : FloatDtypes()) {
    if (BitWidth(narrow) > 16) continue;
    const std::string codes = AllCodes(narrow);
    for (Dtype wide : FloatDtypes()) {
      // float16 lacks the exponents of bfloat16 and of the scale.
      const bool contains = wide != narrow && (BitWidth(wide) > 16 || (BitWidth(wide) == 16 && BitWidth(narrow) == 8));
      if (!contains || (wide == Dtype::kFloat16 && narrow == Dtype::kFloat8E8M0Fnu)) continue;
      const std::string back = CastScalarBytes(wide, CastScalarBytes(narrow, codes, wide), narrow);
      for (uint64_t code = 0; code < uint64_t{1} << CodeBits(narrow); ++code) {
        uint64_t want = code;
        // A signalling NaN comes back quiet.
        const uint64_t sign = uint64_t{1} << (CodeBits(narrow) - 1);
        if (std::isnan(ValueOf(narrow, code))) want |= FromDouble(kNan, narrow) & ~sign;
        if (CodeAt(back, narrow, code) != want) {
          ADD_FAILURE() << DtypeName(narrow) << " " << std::hex << code << " through " << DtypeName(wide) << " became "
                        << CodeAt(back, narrow, code);
          break;
        }
      }
    }
  }
}

TEST(CastScalar, NansStayQuietAndKeepSignAndUpperPayload) {
  EXPECT_EQ(CastCode(Dtype::kFloat32, 0xff812345, Dtype::kBfloat16), 0xffc1u);
  EXPECT_EQ(CastCode(Dtype::kFloat32, 0x7f800001, Dtype::kBfloat16), 0x7fc0u) << "not infinity";
  EXPECT_EQ(CastCode(Dtype::kFloat32, 0x7f802000, Dtype::kFloat16), 0x7e01u);
  EXPECT_EQ(CastCode(Dtype::kFloat16, 0xfc01, Dtype::kFloat64), 0xfff8040000000000u);
  EXPECT_EQ(CastCode(Dtype::kFloat64, 0x7ff0000000000001, Dtype::kFloat32), 0x7fc00000u);
  EXPECT_EQ(CastCode(Dtype::kFloat8E4M3Fnuz, 0x80, Dtype::kFloat32), 0x7fc00000u) << "its NaN has no sign";
}

TEST(CastScalar, IgnoresTheUnusedUpperBitsOfFloat6AndFloat4) {
  EXPECT_EQ(ValueOf(Dtype::kFloat6E2M3Fn, 0xc8), 1.0);
  EXPECT_EQ(ValueOf(Dtype::kFloat4E2M1Fn, 0xf2), 1.0);
  EXPECT_EQ(ValueOf(Dtype::kFloat4E2M1Fn, 0x1a), -1.0);
}

TEST(CastElements, TakesExactlyTheFloats) {
  for (Dtype from : AllDtypes()) {
    for (Dtype to : AllDtypes()) {
      EXPECT_EQ(CanCast(from, to), IsFloat(from) && IsFloat(to)) << DtypeName(from) << " to " << DtypeName(to);
    }
  }
  EXPECT_FALSE(CanCast(Dtype::kInvalid, Dtype::kFloat32));
  EXPECT_FALSE(CanCast(Dtype::kFloat32, Dtype::kInvalid));
}

TEST(CastElements, RefusesWhatIsNoFloat) {
  char dst[8];
  for (Dtype dtype : {Dtype::kInt32, Dtype::kBool, Dtype::kComplex64, Dtype::kF4Packed, Dtype::kInvalid}) {
    EXPECT_THAT(CastElements(dtype, "12345678", Dtype::kFloat32, absl::MakeSpan(dst)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no cast from")));
    EXPECT_THAT(CastElements(Dtype::kFloat32, "12345678", dtype, absl::MakeSpan(dst)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no cast from")));
  }
}

TEST(CastElements, RefusesSizesThatDoNotFit) {
  char dst[16];
  const auto cast = [&](size_t src_bytes, size_t dst_bytes, Dtype to = Dtype::kBfloat16) {
    return CastElements(Dtype::kFloat32, std::string(src_bytes, '\0'), to, absl::MakeSpan(dst, dst_bytes));
  };
  EXPECT_THAT(cast(8, 4), IsOk());
  EXPECT_THAT(cast(0, 0), IsOk());
  constexpr std::pair<size_t, size_t> kWrong[] = {{8, 3}, {8, 5}, {8, 8}, {7, 4}, {9, 4}, {3, 0}, {0, 2}};
  for (auto [src_bytes, dst_bytes] : kWrong) {
    EXPECT_THAT(cast(src_bytes, dst_bytes), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("do not become")));
  }
  EXPECT_THAT(cast(8, 4, Dtype::kFloat32), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("do not become")));
}

TEST(CastElements, TakesNoElementsWithoutAnAddress) {
  for (Dtype from : FloatDtypes()) {
    for (Dtype to : FloatDtypes()) EXPECT_THAT(CastElements(from, absl::string_view(), to, {}), IsOk());
  }
}

}  // namespace
}  // namespace cairn::testing
