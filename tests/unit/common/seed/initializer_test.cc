#include "common/seed/initializer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "common/seed/normal_quantile.h"
#include "common/seed/philox.h"
#include "common/tensor/shape.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Le;

struct Moments {
  double mean = 0, deviation = 0, least = 0, most = 0;
};

std::vector<double> Values(const std::string& rule, const Shape& shape, size_t count = 200'000) {
  const Initializer initializer = Initializer::Parse(rule).value();
  const Fill fill = initializer.For({shape, 8, 3}).value();
  std::vector<double> values(count);
  FillElements(fill, SeedStream::Of(1, "x"), 0, absl::MakeSpan(values));
  return values;
}

Moments MomentsOf(const std::string& rule, const Shape& shape = {64, 256}) {
  const std::vector<double> values = Values(rule, shape);
  const double count = static_cast<double>(values.size());
  Moments found;
  found.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - found.mean) * (value - found.mean);
  found.deviation = std::sqrt(squares / count);
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  found.least = *least;
  found.most = *most;
  return found;
}

// The vectors that come with the authors' Random123.
TEST(PhiloxTest, GivesWhatItsAuthorsPublished) {
  EXPECT_THAT(Philox4x32({0, 0, 0, 0}, {0, 0}), ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  EXPECT_THAT(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

TEST(NormalQuantileTest, IsTheInverseOfTheDistribution) {
  for (double p = 1e-16; p < 1; p = p < 0.01 ? p * 1.7 : p + 0.003) {
    double z = p;
    NormalQuantiles(absl::MakeSpan(&z, 1));
    EXPECT_NEAR(0.5 * std::erfc(-z / std::sqrt(2.0)) / p, 1, 1e-13) << p;
  }
}

TEST(NormalQuantileTest, FindsWhereAnIntervalBegins) {
  EXPECT_EQ(FirstPartFrom(0), kProbabilityParts / 2);
  EXPECT_EQ(FirstPartFrom(-100), 0u);
  EXPECT_EQ(FirstPartFrom(100), kProbabilityParts);
  EXPECT_NEAR(ProbabilityOf(FirstPartFrom(1)), 0.8413447460685429, 1e-15);
}

TEST(InitializerTest, ConstantsAreConstant) {
  EXPECT_THAT(Values("zeros", {}, 9), Each(0.0));
  EXPECT_THAT(Values("ones", {}, 9), Each(1.0));
  EXPECT_THAT(Values("constant(value=-2.5)", {}, 9), Each(-2.5));
}

TEST(InitializerTest, NormalHasItsMeanAndDeviation) {
  const Moments found = MomentsOf("normal(mean=3, std=0.5)");
  EXPECT_NEAR(found.mean, 3, 0.005);
  EXPECT_NEAR(found.deviation, 0.5, 0.005);
  EXPECT_GT(found.most, 3 + 3.8 * 0.5);
  EXPECT_LT(found.least, 3 - 3.8 * 0.5);
}

TEST(InitializerTest, AllFourQuartersOfANormalAreEquallyLikely) {
  std::vector<int> counts(4);
  for (const double value : Values("normal(std=1)", {})) {
    ++counts[value < -0.6744897501960817 ? 0 : value < 0 ? 1 : value < 0.6744897501960817 ? 2 : 3];
  }
  for (const int count : counts) EXPECT_NEAR(count, 50'000, 800);
}

TEST(InitializerTest, ATruncatedNormalStaysWithinItsBounds) {
  const Moments found = MomentsOf("trunc_normal(std=1, a=-1, b=2)");
  EXPECT_GE(found.least, -1);
  EXPECT_LE(found.most, 2);
  EXPECT_LT(found.least, -0.999);
  EXPECT_NEAR(found.mean, 0.2296, 0.006);  // (phi(-1) - phi(2)) / (Phi(2) - Phi(-1)).
  const Moments cut = MomentsOf("trunc_normal(std=0.1, cutoff=2)");
  EXPECT_THAT(cut.most, Le(0.2));
  EXPECT_NEAR(cut.deviation, 0.1 * 0.8796, 0.001);
}

TEST(InitializerTest, UniformFillsItsInterval) {
  const Moments found = MomentsOf("uniform(a=-1, b=3)");
  EXPECT_NEAR(found.mean, 1, 0.01);
  EXPECT_NEAR(found.deviation, 4 / std::sqrt(12.0), 0.01);
  EXPECT_GE(found.least, -1);
  EXPECT_LE(found.most, 3);
}

TEST(InitializerTest, FansAreThoseOfPyTorch) {
  EXPECT_NEAR(MomentsOf("xavier_normal").deviation, std::sqrt(2.0 / 320), 0.001);
  EXPECT_NEAR(MomentsOf("xavier_uniform").most, std::sqrt(6.0 / 320), 0.001);
  EXPECT_NEAR(MomentsOf("kaiming_normal").deviation, std::sqrt(2.0 / 256), 0.001);
  EXPECT_NEAR(MomentsOf("kaiming_uniform(gain=1)").most, std::sqrt(3.0 / 256), 0.001);
  EXPECT_NEAR(MomentsOf("lecun_normal").deviation, 1.0 / 16, 0.001);
  EXPECT_NEAR(MomentsOf("lecun_normal", {7, 4, 8, 2}).deviation, 1.0 / 8, 0.001);
}

TEST(InitializerTest, DepthDividesByTheSquareRootOfTwiceTheLayers) {
  EXPECT_NEAR(MomentsOf("normal(std=1, depth=model)").deviation, 1 / std::sqrt(16.0), 0.002);
  EXPECT_NEAR(MomentsOf("normal(std=1, depth=layer)").deviation, 1 / std::sqrt(8.0), 0.002);
}

TEST(InitializerTest, WhatDoesNotParseIsNamed) {
  for (const auto& [text, what] : std::vector<std::pair<std::string, std::string>>{
           {"gauss(std=1)", "expected one of constant, kaiming_normal"},
           {"normal", "expected std=NUMBER"},
           {"normal(std=1", "expected \")\""},
           {"normal(std=x)", "std: expected a number, found \"x\""},
           {"normal(std=inf)", "std: expected a number"},
           {"normal(std=0)", "std: expected more than 0"},
           {"normal(std=1, std=2)", "std a second time"},
           {"normal(std=1, a=2)", "unexpected \"a=2\"; normal takes NAME=NUMBER of depth, mean, std"},
           {"normal(std=1, depth=9)", "depth: expected model or layer"},
           {"zeros(1)", "zeros takes nothing"},
           {"uniform(a=1, b=1)", "expected a below b"},
           {"trunc_normal(std=1, cutoff=2, a=1)", "expected cutoff, or a and b"},
       }) {
    EXPECT_THAT(Initializer::Parse(text).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what))) << text;
  }
}

TEST(InitializerTest, WhatDoesNotFitTheTensorIsNamed) {
  const auto status = [](const std::string& rule) {
    const Shape shape = {3};
    return Initializer::Parse(rule).value().For({shape, std::nullopt, std::nullopt}).status();
  };
  EXPECT_THAT(status("xavier_normal"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("found shape [3]")));
  EXPECT_THAT(status("normal(std=1, depth=model)"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs the symbol layers")));
  EXPECT_THAT(status("normal(std=1, depth=layer)"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("number of its layer")));
  EXPECT_THAT(status("trunc_normal(std=0.01, a=1, b=2)"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("choose a wider interval")));
}

}  // namespace
}  // namespace cairn
