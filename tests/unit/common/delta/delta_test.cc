#include "common/delta/delta.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/delta/delta_kernels.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/cairndiff_attacks.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;

std::string Noise(size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// bfloat16 of a normal distribution, as weights are.
std::string Weights(size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, 0.02f);
  std::string bytes(2 * count, '\0');
  for (size_t i = 0; i < count; ++i) {
    const float value = normal(random);
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    const auto high = static_cast<uint16_t>(bits >> 16);
    std::memcpy(&bytes[2 * i], &high, sizeof(high));
  }
  return bytes;
}

std::string Changed(std::string bytes, size_t unit, double share, unsigned seed) {
  std::mt19937_64 random(seed);
  std::bernoulli_distribution change(share);
  for (size_t i = 0; i + unit <= bytes.size(); i += unit) {
    if (change(random)) bytes[i] = static_cast<char>(bytes[i] ^ static_cast<char>(1 + random() % 15));
  }
  return bytes;
}

std::string Encode(const std::string& base, const std::string& target, size_t unit) {
  DeltaEncoder encoder;
  std::string encoded;
  EXPECT_TRUE(encoder.Encode(base, target, unit, &encoded).ok());
  return encoded;
}

DeltaMode ModeOf(const std::string& encoded) {
  DeltaMode mode = DeltaMode::kRaw;
  EXPECT_TRUE(ReadDeltaMode(encoded, &mode).ok());
  return mode;
}

absl::StatusOr<std::string> Apply(absl::string_view encoded, const std::string& base, size_t size) {
  DeltaDecoder decoder;
  std::string target(size, '?');
  const absl::Status status = decoder.Apply(encoded, base, absl::MakeSpan(target));
  if (!status.ok()) return status;
  return target;
}

void ExpectRoundTrip(const std::string& base, const std::string& target, size_t unit) {
  const std::string encoded = Encode(base, target, unit);
  EXPECT_LE(encoded.size(), target.size() + 1);
  const absl::StatusOr<std::string> back = Apply(encoded, base, target.size());
  ASSERT_TRUE(back.ok()) << back.status() << " mode " << static_cast<int>(ModeOf(encoded));
  EXPECT_TRUE(*back == target) << "mode " << static_cast<int>(ModeOf(encoded)) << " unit " << unit;
}

TEST(DeltaKernelsTest, PlanesAreTheBytesOfTurnedUnits) {
  for (const size_t unit : {2u, 4u, 8u}) {
    for (const size_t count : {1u, 7u, 64u, 333u}) {
      const std::string units = Noise(unit * count, 1), base = Noise(unit * count, 2);
      std::string planes(units.size(), '\0'), back(units.size(), '\0');
      delta_internal::SplitPlanes(units.data(), unit, count, planes.data());
      for (size_t i = 0; i < count; ++i) {
        uint64_t value = 0;
        std::memcpy(&value, &units[i * unit], unit);
        const uint64_t turned = (value << 1) | (value >> (8 * unit - 1));
        for (size_t plane = 0; plane < unit; ++plane) {
          ASSERT_EQ(planes[plane * count + i], static_cast<char>(turned >> (8 * plane))) << unit << " " << i;
        }
      }
      delta_internal::MergePlanes(planes.data(), nullptr, unit, count, back.data());
      EXPECT_EQ(back, units);
      delta_internal::MergePlanes(planes.data(), base.data(), unit, count, back.data());
      std::string expected = units;
      for (size_t i = 0; i < expected.size(); ++i) expected[i] = static_cast<char>(expected[i] ^ base[i]);
      EXPECT_EQ(back, expected);
    }
  }
}

TEST(DeltaTest, ComesBackForAnyShareOfChangesUnitAndLength) {
  for (const size_t unit : {1u, 2u, 4u, 8u}) {
    for (const size_t size : {0u, 1u, 8u, 15u, 1000u, 65536u, 100003u}) {
      for (const double share : {0.0, 0.0001, 0.01, 0.1, 0.2, 0.6, 1.0}) {
        const std::string base = Noise(size, 3);
        ExpectRoundTrip(base, Changed(base, unit, share, 4), unit);
      }
      ExpectRoundTrip(Noise(size, 5), Noise(size, 6), unit);
      ExpectRoundTrip(Weights(size, 7), Weights(size, 8), unit);
      ExpectRoundTrip("", Weights(size, 8), unit);
      ExpectRoundTrip(std::string(size, 'a'), std::string(size, 'b'), unit);
      ExpectRoundTrip(Noise(size + 1, 1), Noise(size, 2), unit);
    }
  }
}

TEST(DeltaTest, ChoosesTheModeThatIsSmaller) {
  const std::string base = Weights(1 << 18, 1);
  EXPECT_EQ(ModeOf(Encode(base, base, 2)), DeltaMode::kSame);
  EXPECT_EQ(Encode(base, base, 2).size(), 1u);
  EXPECT_EQ(ModeOf(Encode(base, Changed(base, 2, 0.01, 2), 2)), DeltaMode::kSparse);
  EXPECT_EQ(ModeOf(Encode(base, Changed(base, 2, 0.9, 2), 2)), DeltaMode::kXorPlanes);
  EXPECT_EQ(ModeOf(Encode(base, Weights(1 << 18, 9), 2)), DeltaMode::kPlanes);
  EXPECT_EQ(ModeOf(Encode(base, Noise(1 << 19, 9), 2)), DeltaMode::kRaw);
}

TEST(DeltaTest, OnePercentOfChangedBfloat16CostsAFortiethAndUnrelatedWeightsTwoThirds) {
  const std::string base = Weights(1 << 19, 1);
  EXPECT_LT(Encode(base, Changed(base, 2, 0.01, 2), 2).size() * 40, base.size());
  EXPECT_LT(Encode(base, Weights(1 << 19, 2), 2).size(), base.size() * 7 / 10);
}

TEST(DeltaTest, RepetitionIsFoundInWhatLooksLikeNoise) {
  std::string target;
  const std::string row = Noise(2048, 1);
  for (int i = 0; i < 256; ++i) target += row;
  EXPECT_LT(Encode("", target, 2).size(), target.size() / 20);
}

TEST(DeltaTest, TheExampleOfTheFormatDocument) {
  const std::string base("\x00\x3f\x01\x3f\x02\x3f", 6);
  const std::string encoded("\x01\x02\x01\x01\x04\x02\x06\x02\x06\x00", 10);
  const absl::StatusOr<std::string> target = Apply(encoded, base, base.size());
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(*target, std::string("\x00\x3f\x01\x3f\x03\x3f", 6));
}

TEST(DeltaTest, RefusesWhatNoEncoderWrites) {
  const std::string base = testing::CairnDiffAttackBase();
  const std::string sparse = Encode(base, Changed(base, 2, 0.1, 1), 2);
  for (const testing::DeltaAttack& attack : testing::DeltaAttacks()) {
    const absl::StatusOr<std::string> target = Apply(attack.delta, base, base.size());
    EXPECT_TRUE(absl::IsDataLoss(target.status())) << attack.name << ": " << target.status();
    EXPECT_THAT(std::string(target.status().message()), HasSubstr(attack.message)) << attack.name;
  }
  for (size_t cut = 0; cut < sparse.size(); ++cut) {
    EXPECT_FALSE(Apply(absl::string_view(sparse).substr(0, cut), base, base.size()).ok()) << cut;
  }
  EXPECT_THAT(std::string(Apply(sparse, "", base.size()).status().message()), HasSubstr("needs a base of 64 bytes"));
}

// Its memory is counted: numbers that are longer than they need be would take four times as much.
TEST(DeltaTest, RefusesPositionsThatAreLongerThanTheyCanBe) {
  // All of 100 units have changed, each "no unit further", in two bytes.
  const std::string base(100, 'a');
  std::string positions;
  for (int unit = 0; unit < 100; ++unit) positions += std::string("\x80\x00", 2);
  const std::string encoded = std::string("\x01\x01\x64\xc8\x01\xa0\x06", 7) + positions + std::string("\x06\x02", 2);
  const absl::StatusOr<std::string> target = Apply(encoded, base, base.size());
  EXPECT_TRUE(absl::IsDataLoss(target.status()));
  EXPECT_THAT(std::string(target.status().message()), HasSubstr("200 bytes of positions for 100 changed units"));
  // The widest distances that there are: the first, and then one of each 128.
  std::string wide(128 * 1000, 'a'), old = wide;
  for (size_t at = 127; at < wide.size(); at += 129) wide[at] = 'b';
  const std::string sparse = Encode(old, wide, 1);
  DeltaMode mode;
  ASSERT_TRUE(ReadDeltaMode(sparse, &mode).ok());
  EXPECT_EQ(mode, DeltaMode::kSparse);
  EXPECT_EQ(Apply(sparse, old, wide.size()).value_or("nothing"), wide);
}

TEST(DeltaTest, RefusesPiecesThatAreTooLarge) {
  DeltaEncoder encoder;
  std::string encoded;
  EXPECT_TRUE(absl::IsInvalidArgument(encoder.Encode("", std::string(kMaxDeltaBytes + 1, 'a'), 1, &encoded)));
  EXPECT_TRUE(absl::IsInvalidArgument(encoder.Encode("", "abc", 3, &encoded)));
}

TEST(DeltaTest, AnyDamagedByteIsRefusedOrGivesOtherBytesAndNeverMore) {
  const std::string base = Weights(500, 1);
  std::mt19937 random(7);
  for (const double share : {0.05, 0.3, 1.0}) {
    const std::string good = Encode(base, Changed(base, 2, share, 2), 2);
    for (int i = 0; i < 2000; ++i) {
      std::string bad = good;
      bad[random() % bad.size()] = static_cast<char>(random());
      (void)Apply(bad, base, base.size());
    }
  }
}

}  // namespace
}  // namespace cairn
