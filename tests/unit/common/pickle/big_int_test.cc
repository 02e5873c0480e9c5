#include "common/pickle/big_int.h"

#include <random>
#include <string>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace cairn {
namespace {

TEST(BigInt, KnownNumbersAreTheSameBothWays) {
  const std::pair<const char*, const char*> kKnown[] = {
      {"", "0"},
      {"01", "1"},
      {"ff", "-1"},
      {"80", "-128"},
      {"8000", "128"},
      {"7f", "127"},
      {"ff00", "255"},
      {"0000000000000080", "-9223372036854775808"},
      {"000000000000008000", "9223372036854775808"},
      {"000000000000000001", "18446744073709551616"},
      {"6cfc9c46f9206aa85019", "119547037146038801333356"},
      {"00ca9a3b", "1000000000"},
      {"003665c4", "-1000000000"},
  };
  for (const auto& [hex, decimal] : kKnown) {
    const std::string bytes = absl::HexStringToBytes(hex);
    EXPECT_EQ(TwosComplementToDecimal(bytes), decimal);
    EXPECT_EQ(DecimalToTwosComplement(decimal), bytes) << decimal;
  }
}

TEST(BigInt, RandomNumbersComeBack) {
  std::mt19937 random(7);
  for (int i = 0; i < 500; ++i) {
    std::string bytes(1 + random() % 60, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    bytes.push_back(i % 2 == 0 ? '\x35' : '\xa5');  // No byte that only repeats the sign.
    EXPECT_EQ(DecimalToTwosComplement(TwosComplementToDecimal(bytes)), bytes);
  }
}

TEST(BigInt, OnlyDecimalNumbersAreNumbers) {
  for (const char* text : {"", "-", "+1", "1.0", "0x10", " 1", "1L"})
    EXPECT_FALSE(DecimalToTwosComplement(text).has_value());
  EXPECT_EQ(DecimalToTwosComplement("-0"), "");
  EXPECT_EQ(DecimalToTwosComplement("0000000000000000000001"), "\x01");
}

}  // namespace
}  // namespace cairn
