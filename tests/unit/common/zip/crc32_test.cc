#include "common/zip/crc32.h"

#include <string>

#include "gtest/gtest.h"

namespace cairn {
namespace {

TEST(Crc32, HasTheCheckValueOfTheStandard) {
  EXPECT_EQ(Crc32("123456789"), 0xcbf43926u);
  EXPECT_EQ(Crc32(""), 0u);
}

TEST(Crc32, OfPiecesIsThatOfTheWhole) {
  std::string bytes(10'000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * i >> 3);
  const absl::string_view all = bytes;
  for (const size_t cut : {0u, 1u, 7u, 64u, 4097u, 10'000u}) {
    EXPECT_EQ(ExtendCrc32(Crc32(all.substr(0, cut)), all.substr(cut)), Crc32(all)) << cut;
  }
  EXPECT_EQ(ExtendCrc32(0x1234u, absl::string_view()), 0x1234u);
}

}  // namespace
}  // namespace cairn
