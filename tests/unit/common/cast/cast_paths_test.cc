// Kernels and tables against the scalar specification, for every instruction set of this machine.

#include <algorithm>
#include <numeric>
#include <random>

#include "common/cast/cast_kernels.h"
#include "gtest/gtest.h"
// The target that the float8 kernels ask for.
#define HWY_WANT_AVX3_DL
#include "hwy/highway.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/common/cast/cast_codes.h"
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace cairn::testing {
namespace {

std::string CastElementsBytes(Dtype from, absl::string_view src, Dtype to) {
  std::string dst(src.size() / ItemBytes(from) * ItemBytes(to), '\x5a');
  const absl::Status status = CastElements(from, src, to, absl::MakeSpan(dst.data(), dst.size()));
  EXPECT_TRUE(status.ok()) << status;
  return dst;
}

// Says which element differs first; strings of megabytes are no help in a message.
void ExpectSameCodes(Dtype from, const std::string& src, Dtype to, const std::string& got) {
  const std::string want = CastScalarBytes(from, src, to);
  ASSERT_EQ(got.size(), want.size());
  if (got == want) return;
  size_t i = 0;
  while (CodeAt(got, to, i) == CodeAt(want, to, i)) ++i;
  FAIL() << DtypeName(from) << " to " << DtypeName(to) << ", element " << i << ": " << std::hex
         << CodeAt(src, from, i) << " became " << CodeAt(got, to, i) << ", not " << CodeAt(want, to, i);
}

// Runs `body` once for each instruction set that was compiled and that this machine has.
template <typename Body>
void ForEachTarget(Body body) {
  int targets = 0;
  hwy::SetSupportedTargetsForTest(0);
  int64_t left = hwy::SupportedTargets() & HWY_TARGETS;
  while (left != 0) {
    const int64_t target = left & -left;
    left &= left - 1;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body();
    ++targets;
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  EXPECT_GT(targets, 0);
}

std::vector<std::pair<Dtype, Dtype>> Kernels() {
  const Dtype dtypes[] = {Dtype::kFloat32,        Dtype::kBfloat16,           Dtype::kFloat16,
                          Dtype::kFloat8E4M3Fn,   Dtype::kFloat8E5M2,         Dtype::kFloat8E4M3Fnuz,
                          Dtype::kFloat8E5M2Fnuz, Dtype::kFloat8E4M3B11Fnuz,  Dtype::kFloat8E4M3,
                          Dtype::kFloat8E3M4};
  std::vector<std::pair<Dtype, Dtype>> pairs;
  for (Dtype from : dtypes) {
    for (Dtype to : dtypes) {
      if (from != to) pairs.emplace_back(from, to);
    }
  }
  return pairs;
}

// Every sign, exponent and upper mantissa, with what lies around a tie of bfloat16 and of float16 behind it.
const std::string& Float32Edges() {
  static const std::string* const edges = [] {
    auto* bytes = new std::string;
    for (uint64_t upper = 0; upper < 0x10000; ++upper) {
      for (uint64_t lower : {0x0000, 0x0001, 0x0fff, 0x1000, 0x1001, 0x1fff, 0x2fff, 0x3000, 0x3001, 0x5000, 0x7000,
                             0x7fff, 0x8000, 0x8001, 0x9000, 0xefff, 0xf000, 0xf001, 0xffff}) {
        AppendCode(*bytes, Dtype::kFloat32, upper << 16 | lower);
      }
    }
    return bytes;
  }();
  return *edges;
}

std::string KernelInputs(Dtype from) { return from == Dtype::kFloat32 ? Float32Edges() : AllCodes(from); }

TEST(CastPaths, EveryCodeOfANarrowTypeIsCastAsTheSpecificationSays) {
  for (Dtype from : FloatDtypes()) {
    if (BitWidth(from) > 16) continue;
    std::string src;
    // All of them, also where the upper bits of the byte mean nothing.
    for (uint64_t code = 0; code < uint64_t{1} << BitWidth(from); ++code) AppendCode(src, from, code);
    for (Dtype to : FloatDtypes()) {
      if (to == from) continue;
      // At once (tables), and in pieces too short for a table of 16 bits.
      ExpectSameCodes(from, src, to, CastElementsBytes(from, src, to));
      std::string pieces;
      const size_t piece = 1000 * ItemBytes(from);
      for (size_t at = 0; at < src.size(); at += piece) {
        pieces += CastElementsBytes(from, absl::string_view(src).substr(at, piece), to);
      }
      ExpectSameCodes(from, src, to, pieces);
    }
  }
}

TEST(CastPaths, EveryKernelGivesWhatTheSpecificationSays) {
  for (auto [from, to] : Kernels()) {
    const std::string src = KernelInputs(from);
    const std::string want = CastScalarBytes(from, src, to);
    ForEachTarget([&, from = from, to = to] {
      std::string got(want.size(), '\0');
      ASSERT_TRUE(cast_internal::CastVectorized(from, src.data(), to, got.data(), src.size() / ItemBytes(from)));
      if (got != want) ExpectSameCodes(from, src, to, got);
    });
  }
}

TEST(CastPaths, KernelsTakeEveryLengthAtEveryAddressAndWriteNoFurther) {
  const std::string values = Float32Edges();
  std::vector<size_t> lengths(68);
  std::iota(lengths.begin(), lengths.end(), 0);
  for (size_t length : {1023, 1024, 1025, 2048 + 70}) lengths.push_back(length);  // Around the largest step of a kernel.
  for (auto [from, to] : Kernels()) {
    ForEachTarget([&, from = from, to = to] {
      for (size_t length : lengths) {
        for (size_t start = 0; start < (length < 1000 ? 9u : 2u); ++start) {
          // The source ends with its allocation, so that ASan sees a read too far.
          const std::string bytes = values.substr(7 * length * start, length * ItemBytes(from));
          std::vector<char> src(start + bytes.size());
          std::copy(bytes.begin(), bytes.end(), src.begin() + static_cast<ptrdiff_t>(start));
          std::vector<char> dst(start + length * ItemBytes(to) + 9, '\x5a');
          ASSERT_TRUE(cast_internal::CastVectorized(from, src.data() + start, to, dst.data() + start, length));
          const std::string all(dst.begin(), dst.end());
          ASSERT_EQ(all.substr(start, length * ItemBytes(to)), CastScalarBytes(from, bytes, to)) << length;
          ASSERT_EQ(all.substr(0, start), std::string(start, '\x5a'));
          ASSERT_EQ(all.substr(start + length * ItemBytes(to)), std::string(9, '\x5a'));
        }
      }
    });
  }
}

TEST(CastPaths, TablesTakeEveryLengthAtEveryAddress) {
  for (auto [from, to] : {std::pair(Dtype::kFloat8E4M3Fn, Dtype::kFloat64), {Dtype::kFloat16, Dtype::kBfloat16},
                          {Dtype::kFloat64, Dtype::kFloat8E5M2}, {Dtype::kFloat16, Dtype::kFloat16}}) {
    const std::string values = Float32Edges();
    for (size_t length : {0, 1, 2, 3, 5, 31, 67, 4095, 4096, 4097}) {
      for (size_t start : {0, 1, 3}) {
        std::vector<char> src(start + length * ItemBytes(from));
        std::copy_n(values.data() + 5000, src.size(), src.data());
        const std::string bytes(src.begin() + static_cast<ptrdiff_t>(start), src.end());
        std::vector<char> dst(start + length * ItemBytes(to));
        ASSERT_TRUE(CastElements(from, absl::string_view(src.data() + start, bytes.size()), to,
                                 absl::MakeSpan(dst.data() + start, dst.size() - start))
                        .ok());
        const std::string got(dst.begin() + static_cast<ptrdiff_t>(start), dst.end());
        if (from == to) {
          EXPECT_EQ(got, bytes) << "a cast to the same type keeps every bit";
        } else {
          ExpectSameCodes(from, bytes, to, got);
        }
      }
    }
  }
}

TEST(CastPaths, RandomWideValuesAreCastAsTheSpecificationSays) {
  std::mt19937_64 random(7);
  for (Dtype from : {Dtype::kFloat32, Dtype::kFloat64}) {
    std::string src;
    for (int i = 0; i < 20000; ++i) AppendCode(src, from, random());
    for (Dtype to : FloatDtypes()) {
      if (to != from) ExpectSameCodes(from, src, to, CastElementsBytes(from, src, to));
    }
  }
}

#if defined(__SSE2__)
TEST(CastPaths, SubnormalsSurviveAThreadThatFlushesThem) {
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  for (auto [from, to] : Kernels()) {
    const std::string src = KernelInputs(from);
    const std::string want = CastScalarBytes(from, src, to);
    ForEachTarget([&, from = from, to = to] {
      std::string got(want.size(), '\0');
      const unsigned before = _mm_getcsr();
      _mm_setcsr(before | kFlushToZero | kDenormalsAreZero);
      cast_internal::CastVectorized(from, src.data(), to, got.data(), src.size() / ItemBytes(from));
      _mm_setcsr(before);
      if (got != want) ExpectSameCodes(from, src, to, got);
    });
  }
}
#endif

TEST(CastPaths, KernelsLeaveOtherPairsAlone) {
  char dst[4] = {};
  EXPECT_FALSE(cast_internal::CastVectorized(Dtype::kFloat64, "\1\1\1\1\1\1\1\1", Dtype::kFloat32, dst, 1));
  EXPECT_EQ(std::string(dst, 4), std::string(4, '\0'));
}

}  // namespace
}  // namespace cairn::testing
