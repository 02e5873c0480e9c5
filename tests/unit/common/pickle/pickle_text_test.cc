#include "common/pickle/pickle_text.h"

#include "gtest/gtest.h"

namespace cairn {
namespace {

TEST(PickleText, QuotedStringsAreThoseOfPythonsRepr) {
  EXPECT_EQ(UnquotePickleString(R"('it\'s\t\x41\101\7\q\\')"), "it's\tAA\a\\q\\");
  EXPECT_EQ(UnquotePickleString("\"'\"  "), "'");
  EXPECT_EQ(UnquotePickleString("''"), "");
  for (const char* text : {"", "'", "'a\"", "a", "'\\'", "'\\x'"})
    EXPECT_FALSE(UnquotePickleString(text).has_value()) << text;
}

TEST(PickleText, UnicodeIsLatin1WithEscapes) {
  EXPECT_EQ(UnescapePickleUnicode("\xe4\\u20ac\\U0001F600"), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(UnescapePickleUnicode("\\\\u0041\\"),
            "\\\\u0041\\");  // A backslash stands for itself before anything else.
  EXPECT_EQ(UnescapePickleUnicode("\\ud800"), "\xed\xa0\x80");
  EXPECT_FALSE(UnescapePickleUnicode("\\u004").has_value());
  EXPECT_FALSE(UnescapePickleUnicode("\\U00110000").has_value());
}

TEST(PickleText, DecimalsHaveOneForm) {
  EXPECT_EQ(NormalDecimal("007"), "7");
  EXPECT_EQ(NormalDecimal("-12L"), "-12");
  EXPECT_EQ(NormalDecimal("+0"), "0");
  EXPECT_EQ(NormalDecimal("-0"), "0");
  for (const char* text : {"", "L", "-", "1_0", "0x1", "1 "}) EXPECT_FALSE(NormalDecimal(text).has_value()) << text;
}

TEST(PickleText, Utf8IsToldFromSurrogatesAndFromAnythingElse) {
  EXPECT_EQ(Utf8FormOf("plain ascii, longer than a word"), Utf8Form::kStrict);
  EXPECT_EQ(Utf8FormOf("gr\xc3\xbcn"), Utf8Form::kStrict);
  EXPECT_EQ(Utf8FormOf("\xed\xa0\x80gr\xc3\xbcn"), Utf8Form::kWithSurrogates);
  EXPECT_EQ(Utf8FormOf("\xed\xa0"), Utf8Form::kNone);
  EXPECT_EQ(Utf8FormOf("12345678\xff"), Utf8Form::kNone);
}

TEST(PickleText, Latin1ComesBack) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  EXPECT_EQ(Utf8ToLatin1(Latin1ToUtf8(bytes)), bytes);
  EXPECT_FALSE(Utf8ToLatin1("\xe2\x82\xac").has_value());
  EXPECT_FALSE(Utf8ToLatin1("\xff").has_value());
}

}  // namespace
}  // namespace cairn
