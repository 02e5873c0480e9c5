// Casts of NumPy and ml_dtypes (tests/golden/make_cast_golden.py) against ours. Where the two differ on purpose is
// listed in common/cast/README.md; each rule there is one function here, and must be met by some input.

#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/cast/cast_codes.h"

namespace cairn::testing {
namespace {

constexpr char kFolder[] = CAIRN_SOURCE_DIR "/tests/golden/cast/";

bool IsFnuz(Dtype dtype) {
  return dtype == Dtype::kFloat8E4M3B11Fnuz || dtype == Dtype::kFloat8E4M3Fnuz || dtype == Dtype::kFloat8E5M2Fnuz;
}

bool HasNan(Dtype dtype) { return CodeBits(dtype) >= 8; }

uint64_t SignBit(Dtype dtype, uint64_t code) { return code >> (CodeBits(dtype) - 1) & 1; }

std::string ReadGolden(const std::string& name) {
  std::ifstream file(kFolder + name, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

// The deviation that explains that `input` became `theirs` there and `ours` here; "" if none does.
std::string Deviation(Dtype from, uint64_t input, Dtype to, uint64_t theirs, uint64_t ours) {
  const double value = ValueOf(from, input);
  if (std::isnan(value)) {
    if (!HasNan(to)) return ValueOf(to, theirs) == 0 ? "NaN becomes zero" : "";
    if (!std::isnan(ValueOf(to, theirs)) || !std::isnan(ValueOf(to, ours))) return "";
    if (IsFnuz(from)) return "fnuz NaN is negative";
    return SignBit(to, theirs) == SignBit(to, ours) ? "NaN payload" : "";
  }
  if (to == Dtype::kFloat8E8M0Fnu && value > 0x1p-127 && value < 0x1.8p-127) {
    return theirs == 1 && ours == 0 ? "e8m0fnu rounds up above 2^-127" : "";
  }
  if (from == Dtype::kFloat64) {
    const uint64_t once = CastCode(Dtype::kFloat64, input, Dtype::kFloat32);
    if (CastCode(Dtype::kFloat32, once, to) == theirs) return "float64 goes through float32";
  }
  return "";
}

TEST(CastGolden, AgreesWithMlDtypesExceptWhereTheReadmeSaysSo) {
  std::map<std::string, size_t> deviations;
  for (Dtype from : FloatDtypes()) {
    const std::string file = ReadGolden(absl::StrCat(DtypeName(from), ".bin"));
    ASSERT_GE(file.size(), 4u) << DtypeName(from);
    uint32_t count;
    std::memcpy(&count, file.data(), sizeof(count));
    const std::string inputs = file.substr(4, count * ItemBytes(from));
    size_t offset = 4 + inputs.size();
    for (Dtype to : FloatDtypes()) {
      if (to == from) continue;
      const std::string theirs = file.substr(offset, count * ItemBytes(to));
      offset += theirs.size();
      ASSERT_EQ(theirs.size(), count * ItemBytes(to));
      std::string ours(theirs.size(), '\0');
      ASSERT_TRUE(CastElements(from, inputs, to, absl::MakeSpan(ours.data(), ours.size())).ok());
      for (size_t i = 0; i < count; ++i) {
        const uint64_t input = CodeAt(inputs, from, i);
        if (CodeAt(theirs, to, i) == CodeAt(ours, to, i)) continue;
        const std::string why = Deviation(from, input, to, CodeAt(theirs, to, i), CodeAt(ours, to, i));
        ++deviations[why];
        EXPECT_NE(why, "") << DtypeName(from) << " " << std::hex << input << " (" << ValueOf(from, input) << ") to "
                           << DtypeName(to) << ": ml_dtypes " << CodeAt(theirs, to, i) << ", ours "
                           << CodeAt(ours, to, i);
      }
    }
    EXPECT_EQ(offset, file.size()) << DtypeName(from);
  }
  using ::testing::_;
  using ::testing::Pair;
  EXPECT_THAT(deviations, ::testing::ElementsAre(Pair("NaN becomes zero", _), Pair("NaN payload", _),
                                                 Pair("e8m0fnu rounds up above 2^-127", _),
                                                 Pair("float64 goes through float32", _),
                                                 Pair("fnuz NaN is negative", _)));
}

TEST(CastGolden, AgreesWithMlDtypesOnEveryNumberOfTheSixteenBitTypes) {
  std::istringstream lines(ReadGolden("digests.txt"));
  std::string source, target, digest;
  int pairs = 0;
  while (lines >> source >> target >> digest) {
    const Dtype from = *ParseDtype(source);
    const Dtype to = *ParseDtype(target);
    const std::string inputs = AllCodes(from);
    std::string ours(inputs.size() / 2 * ItemBytes(to), '\0');
    ASSERT_TRUE(CastElements(from, inputs, to, absl::MakeSpan(ours.data(), ours.size())).ok());
    for (size_t code = 0; code < inputs.size() / 2; ++code) {
      const double value = ValueOf(from, code);
      char* const result = ours.data() + code * ItemBytes(to);
      if (std::isnan(value)) std::memset(result, 0, ItemBytes(to));
      // The deviation next to 2^-127.
      if (to == Dtype::kFloat8E8M0Fnu && value > 0x1p-127 && value < 0x1.8p-127) *result = 1;
    }
    EXPECT_EQ(DigestOf(ours, DigestAlgorithm::kSha256).ToHex(), digest) << source << " to " << target;
    ++pairs;
  }
  EXPECT_EQ(pairs, 2 * 14);
}

}  // namespace
}  // namespace cairn::testing
