#include "common/base/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace cairn {
namespace {

TEST(Utf8, TakesOneCodePointAtATime) {
  absl::string_view text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x97\xbf";
  EXPECT_EQ(ConsumeUtf8(&text), U'a');
  EXPECT_EQ(ConsumeUtf8(&text), U'\u00e9');
  EXPECT_EQ(ConsumeUtf8(&text), U'\u20ac');
  EXPECT_EQ(ConsumeUtf8(&text), U'\U0001f5ff');
  EXPECT_EQ(ConsumeUtf8(&text), std::nullopt);
}

TEST(Utf8, TakesTheSmallestAndTheLargestOfEachLength) {
  for (const char* text : {"\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
  EXPECT_TRUE(IsUtf8(std::string(1, '\0')));
  EXPECT_TRUE(IsUtf8(""));
}

TEST(Utf8, RefusesWhatIsMalformed) {
  for (const char* text :
       {"\x80", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x97", "\xc3(", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf",
        "\xf0\x8f\xbf\xbf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80"}) {
    absl::string_view rest = text;
    EXPECT_EQ(ConsumeUtf8(&rest), std::nullopt);
    EXPECT_EQ(rest, text) << "must stay as it was";
  }
  EXPECT_FALSE(IsUtf8("good, then \xff"));
}

}  // namespace
}  // namespace cairn
