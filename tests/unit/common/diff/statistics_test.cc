#include "common/diff/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/diff/element_values.h"
#include "gtest/gtest.h"

namespace cairn {
namespace {

constexpr size_t kBlock = 1024;  // Sums are made of so many values before they are added up.

// What Add() says of the same bytes on both sides, by its definition: number by number.
TensorSummary ByDefinition(Dtype dtype, const std::string& bytes) {
  const size_t size = static_cast<size_t>(BitWidth(dtype)) / 8 / diff_internal::ValuesPerElement(dtype);
  std::vector<double> values(bytes.size() / size);
  diff_internal::LoadValues(dtype, bytes, values.data());
  TensorSummary summary;
  summary.elements = values.size();
  double squares = 0;
  for (size_t begin = 0; begin < values.size(); begin += kBlock) {
    double block = 0;
    for (size_t i = begin; i < std::min(begin + kBlock, values.size()); ++i) {
      summary.base_nan += std::isnan(values[i]);
      summary.base_infinite += std::isinf(values[i]);
      if (std::isfinite(values[i])) block += values[i] * values[i];
    }
    squares += block;
  }
  summary.target_nan = summary.base_nan;
  summary.target_infinite = summary.base_infinite;
  summary.base_norm = std::sqrt(squares);
  if (squares > 0) summary.cosine = std::clamp(squares / (std::sqrt(squares) * std::sqrt(squares)), -1.0, 1.0);
  return summary;
}

// NaN, which is not equal to itself, compares by its bits here.
void ExpectSame(const TensorSummary& found, const TensorSummary& expected, const std::string& what) {
  EXPECT_EQ(found.elements, expected.elements) << what;
  EXPECT_EQ(found.changed, 0u) << what;
  EXPECT_EQ(found.outside, 0u) << what;
  EXPECT_EQ(found.base_nan, expected.base_nan) << what;
  EXPECT_EQ(found.base_infinite, expected.base_infinite) << what;
  EXPECT_EQ(found.target_nan, expected.target_nan) << what;
  EXPECT_EQ(found.target_infinite, expected.target_infinite) << what;
  const auto numbers = [](const TensorSummary& s) {
    return std::array{s.max_absolute, s.max_relative, s.mean_absolute, s.mean_relative, s.norm, s.base_norm, s.cosine};
  };
  const auto a = numbers(found), b = numbers(expected);
  EXPECT_EQ(std::memcmp(a.data(), b.data(), sizeof(a)), 0) << what << ": norm " << found.base_norm << ", expected " << expected.base_norm;
}

template <class T>
std::string Bytes(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// Zeros among them, and, where `odd`, what is not finite or has a square that is not.
template <class T>
std::string Floats(size_t count, bool odd) {
  std::mt19937_64 random(count);
  std::vector<T> values(count);
  for (T& value : values) {
    value = std::ldexp(static_cast<T>(static_cast<int64_t>(random() % 2001) - 1000), static_cast<int>(random() % 60) - 30);
    if (random() % 16 == 0) value = random() % 2 == 0 ? T(0) : -T(0);
    if (!odd || random() % 512 != 0) continue;
    const std::array<T, 4> some = {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity(),
                                   -std::numeric_limits<T>::infinity(), std::numeric_limits<T>::max()};
    value = some[random() % some.size()];
  }
  return Bytes(values);
}

std::string AnyBytes(size_t count) {
  std::mt19937_64 random(count + 7);
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random() % 5 == 0 ? 0 : random());
  return bytes;
}

TEST(StatisticsTest, EqualBytesHaveTheNumbersOfTheDefinitionToTheLastBit) {
  const auto check = [](Dtype dtype, const std::string& bytes, const std::string& what) {
    const TensorSummary expected = ByDefinition(dtype, bytes);
    TensorStatistics equal, added;
    equal.AddEqual(dtype, bytes);
    added.Add(dtype, bytes, dtype, bytes, Tolerance());
    ExpectSame(equal.Summary(), expected, absl::StrCat("AddEqual of ", what));
    ExpectSame(added.Summary(), expected, absl::StrCat("Add of ", what));
  };
  for (const size_t count : {0, 1, 1023, 1024, 1025, 4095, 4096, 4097, 9000, 40'000}) {
    for (const bool odd : {false, true}) {
      const std::string what = absl::StrCat(count, odd ? " odd ones" : " finite ones");
      check(Dtype::kFloat32, Floats<float>(count, odd), absl::StrCat("float32, ", what));
      check(Dtype::kFloat64, Floats<double>(count, odd), absl::StrCat("float64, ", what));
      check(Dtype::kComplex64, Floats<float>(2 * count, odd), absl::StrCat("complex64, ", what));
    }
    for (const Dtype dtype : {Dtype::kBool, Dtype::kInt8, Dtype::kUint8, Dtype::kInt4, Dtype::kFloat8E4M3Fn}) {
      check(dtype, AnyBytes(count), absl::StrCat(DtypeName(dtype), " ", count));
    }
    for (const Dtype dtype : {Dtype::kBfloat16, Dtype::kFloat16, Dtype::kInt16}) {
      check(dtype, AnyBytes(2 * count), absl::StrCat(DtypeName(dtype), " ", count));
    }
    check(Dtype::kInt64, AnyBytes(8 * count), absl::StrCat("int64 ", count));
  }
}

TEST(StatisticsTest, BlocksThatAreEqualBesideOthersCountAsTheyDoAlone) {
  const std::string base = Floats<float>(10 * kBlock, false);
  std::string target = base;
  target[4 * (3 * kBlock + 5)] ^= 1;
  TensorStatistics at_once, piece_by_piece;
  at_once.Add(Dtype::kFloat32, base, Dtype::kFloat32, target, Tolerance());
  for (size_t block = 0; block < 10; ++block) {
    const absl::string_view b = absl::string_view(base).substr(4 * block * kBlock, 4 * kBlock), t = absl::string_view(target).substr(4 * block * kBlock, 4 * kBlock);
    TensorStatistics piece;
    if (b == t) {
      piece.AddEqual(Dtype::kFloat32, t);
    } else {
      piece.Add(Dtype::kFloat32, b, Dtype::kFloat32, t, Tolerance());
    }
    piece_by_piece.Merge(piece);
  }
  EXPECT_EQ(at_once.Summary(), piece_by_piece.Summary());
  EXPECT_EQ(at_once.changed, 1u);
  // Where the base is zero nothing is relative to it, and such elements are not counted.
  std::vector<float> from(10 * kBlock), to(10 * kBlock);
  std::memcpy(from.data(), base.data(), base.size());
  std::memcpy(to.data(), target.data(), target.size());
  const auto others_than_zero = static_cast<double>(std::count_if(from.begin(), from.end(), [](float value) { return value != 0; }));
  ASSERT_LT(others_than_zero, 10 * kBlock);
  const double b = from[3 * kBlock + 5], t = to[3 * kBlock + 5];
  EXPECT_EQ(at_once.Summary().mean_relative, std::fabs(t - b) / std::fabs(b) / others_than_zero);
}

TEST(StatisticsTest, PackedDtypesHaveNoNumbersEqualOrNot) {
  TensorStatistics statistics;
  statistics.AddEqual(Dtype::kF4Packed, std::string(100, 'x'));
  EXPECT_FALSE(statistics.Summary().has_values);
  EXPECT_EQ(statistics.Summary().elements, 100u);
}

}  // namespace
}  // namespace cairn
