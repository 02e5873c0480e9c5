#include "common/base/crc32c.h"

#include <random>
#include <string>

#include "gtest/gtest.h"

namespace cairn {
namespace {

std::string RandomBytes(size_t size) {
  std::mt19937 random(7);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

// The definition, a bit at a time.
uint32_t BitwiseCrc32c(absl::string_view bytes) {
  uint32_t crc = ~0u;
  for (unsigned char byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);  // Castagnoli, bit-reversed.
  }
  return ~crc;
}

// RFC 3720, B.4. The RFC lists the bytes of the checksum, lowest first.
TEST(Crc32c, GivesTheVectorsOfRfc3720) {
  std::string rising, falling;
  for (int i = 0; i < 32; ++i) {
    rising.push_back(static_cast<char>(i));
    falling.push_back(static_cast<char>(31 - i));
  }
  const unsigned char read_pdu[48] = {0x01, 0xc0, 0, 0, 0, 0, 0,    0, 0,    0, 0, 0,    0, 0, 0, 0,
                                      0x14, 0,    0, 0, 0, 0, 0x04, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
                                      0x28, 0,    0, 0, 0, 0, 0,    0, 0x02, 0, 0, 0,    0, 0, 0, 0};
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(rising), 0x46dd794eu);
  EXPECT_EQ(Crc32c(falling), 0x113fdb5cu);
  EXPECT_EQ(Crc32c(absl::string_view(reinterpret_cast<const char*>(read_pdu), sizeof(read_pdu))),
            0xd9963a56u);
}

TEST(Crc32c, GivesTheCheckValueOfTheCatalogues) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(BitwiseCrc32c("123456789"), 0xe3069283u);
}

TEST(Crc32c, OfNothingIsZero) { EXPECT_EQ(Crc32c(""), 0u); }

// Fast paths change with length and alignment.
TEST(Crc32c, AgreesWithTheDefinitionAtManyLengthsAndAlignments) {
  const std::string bytes = RandomBytes(30000);
  const auto check = [&](size_t start, size_t length) {
    const absl::string_view part = absl::string_view(bytes).substr(start, length);
    ASSERT_EQ(ExtendCrc32c(0, part), BitwiseCrc32c(part)) << start << " " << length;
  };
  for (size_t length = 0; length <= 300; ++length) check(length % 16, length);
  for (size_t length = 301; length <= 20000; length += 61) check(length % 16, length);
  for (size_t around : {4096, 8192, 12288, 16384, 20480, 24576}) {
    for (size_t length = around - 10; length <= around + 10; ++length) check(length % 8, length);
  }
}

TEST(Crc32c, ExtendingByASecondPartEqualsTheWhole) {
  const std::string bytes = RandomBytes(20000);
  const uint32_t whole = Crc32c(bytes);
  for (size_t cut = 0; cut <= bytes.size(); cut += 137) {
    const uint32_t first = Crc32c(absl::string_view(bytes).substr(0, cut));
    ASSERT_EQ(ExtendCrc32c(first, absl::string_view(bytes).substr(cut)), whole) << cut;
  }
}

TEST(Crc32c, NoticesEverySingleFlippedBit) {
  std::string bytes = RandomBytes(200);
  const uint32_t right = Crc32c(bytes);
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    EXPECT_NE(Crc32c(bytes), right) << bit;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
  }
}

}  // namespace
}  // namespace cairn
