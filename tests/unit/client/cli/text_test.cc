#include "client/cli/text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::cli {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

TEST(SafeText, ShowsEscapeSequencesInsteadOfSendingThem) {
  EXPECT_EQ(SafeText("\x1b[2Jrun\n"), "\\x1b[2Jrun\\x0a");
  EXPECT_EQ(SafeText("\xc2\x9b"
                     "2J"),
            "\\xc2\\x9b2J")
      << "the one-character form of ESC [";
}

TEST(SafeText, KeepsUtf8AndShowsOtherBytes) {
  EXPECT_EQ(SafeText("モデル/größe"), "モデル/größe");
  EXPECT_EQ(SafeText("a\xff\xfe"), "a\\xff\\xfe");
  EXPECT_EQ(SafeText("\xe2\x80\xae"
                     "abc"),
            "\\xe2\\x80\\xaeabc")
      << "right-to-left override";
}

TEST(DisplayWidth, CountsColumnsNotBytes) {
  EXPECT_EQ(DisplayWidth("größe"), 5);
  EXPECT_EQ(DisplayWidth("モデル"), 6);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1);
}

TEST(FitLeft, KeepsTheEndOfALongText) {
  EXPECT_EQ(FitLeft("short", 10), "short");
  EXPECT_EQ(FitLeft("a/very/long/path", 9), "...g/path");
  EXPECT_EQ(DisplayWidth(FitLeft("モデルモデル", 8)), 7)
      << "a wide character that does not fit whole is left out";
  EXPECT_EQ(FitLeft("abcdef", 2), "..");
}

TEST(FitRight, KeepsTheFrontOfALongText) {
  EXPECT_EQ(FitRight("short", 5), "short");
  EXPECT_EQ(FitRight("a long text", 8), "a lon...");
  EXPECT_EQ(FitRight("モデルモデル", 8), "モデ...");
  EXPECT_EQ(FitRight("abcdef", 2), "..");
}

TEST(FormatBytes, UsesOneDecimalAndTheLargestUnitThatFits) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes((1u << 20) - 1), "1.0 MiB");
  EXPECT_EQ(FormatBytes(UINT64_MAX), "16.0 EiB");
}

TEST(FormatCount, GroupsByThousands) {
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1234567), "1,234,567");
}

TEST(FormatElapsed, LooksLikeAClock) {
  EXPECT_EQ(FormatElapsed(absl::Seconds(7)), "0:07");
  EXPECT_EQ(FormatElapsed(absl::Seconds(750)), "12:30");
  EXPECT_EQ(FormatElapsed(absl::Seconds(11045)), "3:04:05");
}

TEST(FormatAge, UsesTheLargestWholeUnit) {
  EXPECT_EQ(FormatAge(absl::Seconds(-5)), "now");
  EXPECT_EQ(FormatAge(absl::Seconds(59)), "59s");
  EXPECT_EQ(FormatAge(absl::Minutes(61)), "1h");
  EXPECT_EQ(FormatAge(absl::Hours(47)), "47h");
  EXPECT_EQ(FormatAge(absl::Hours(49)), "2d");
}

TEST(FormatUtc, IsRfc3339AndEmptyForUnknown) {
  EXPECT_EQ(FormatUtc(absl::FromUnixSeconds(1'700'000'000)), "2023-11-14T22:13:20Z");
  EXPECT_EQ(FormatUtc(absl::InfinitePast()), "");
}

TEST(ParseByteSize, TellsPowersOf1000From1024) {
  EXPECT_EQ(*ParseByteSize("1048576"), 1048576u);
  EXPECT_EQ(*ParseByteSize("5GB"), 5'000'000'000u);
  EXPECT_EQ(*ParseByteSize("5G"), 5'000'000'000u);
  EXPECT_EQ(*ParseByteSize("2GiB"), 2ull << 30);
  EXPECT_EQ(*ParseByteSize("512 mib"), 512ull << 20);
  EXPECT_EQ(*ParseByteSize("1.5KiB"), 1536u);
  EXPECT_EQ(*ParseByteSize("10B"), 10u);
  EXPECT_EQ(*ParseByteSize("9007199254740993"), 9007199254740993u) << "no detour over floating point";
}

TEST(ParseByteSize, RefusesEverythingElse) {
  for (const char* bad :
       {"", "GB", "0", "0GB", "-1", "5XB", "5GiBs", "5Bi", "nan", "1e30", "1.2.3", "0.1B", "99999999999TB"}) {
    EXPECT_THAT(ParseByteSize(bad),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected a number of bytes")))
        << bad;
  }
}

}  // namespace
}  // namespace cairn::cli
