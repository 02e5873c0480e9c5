#include "common/tensor/key_path.h"

#include <random>
#include <string>

#include "absl/hash/hash.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

KeyPath Path(std::vector<KeyPath::Segment> segments) { return KeyPath(std::move(segments)); }

TEST(KeyPath, JoinsItsSegmentsAsTheyAre) {
  const KeyPath path(std::vector<KeyPath::Segment>{"a/b", int64_t{7}, ""});
  EXPECT_EQ(path.Joined("."), "a/b.7.");
  EXPECT_EQ(path.Joined(""), "a/b7");
  EXPECT_EQ(KeyPath().Joined("."), "");
}

TEST(KeyPath, ThatIsVeryLongIsReadInAMoment) {
  // As many bytes as a request may have: a copy of all segments for each of them would take hours.
  std::string text = "a";
  for (int i = 0; i < 4'000'000; ++i) text += "/a";
  const absl::StatusOr<KeyPath> path = KeyPath::Parse(text);
  CAIRN_ASSERT_OK(path.status());
  EXPECT_EQ(path->segments().size(), 4'000'001u);
}

TEST(KeyPath, IsShownWithSlashesAndEscapes) {
  EXPECT_EQ(KeyPath().ToString(), "");
  EXPECT_EQ(KeyPath::Of({"params", "layer", "kernel"}).ToString(), "params/layer/kernel");
  EXPECT_EQ(KeyPath::Of({"model.layers.0.weight"}).ToString(), "model.layers.0.weight")
      << "nothing splits a flat name";
  EXPECT_EQ(Path({"opt", int64_t{7}, "mu"}).ToString(), "opt/[7]/mu");
  EXPECT_EQ(Path({int64_t{-3}}).ToString(), "[-3]");
  EXPECT_EQ(KeyPath::Of({"a/b", "c\\d"}).ToString(), "a\\/b/c\\\\d");
  EXPECT_EQ(KeyPath::Of({"[7]", "a[7]"}).ToString(), "\\[7]/a[7]")
      << "only a leading bracket could be a position";
  EXPECT_EQ(KeyPath::Of({"", "a", ""}).ToString(), "\\e/a/\\e");
  EXPECT_EQ(KeyPath::Of({std::string("a\n\0\x7f", 4)}).ToString(), "a\\x0a\\x00\\x7f");
  EXPECT_EQ(KeyPath::Of({"\xc3\xa9", "*", "7"}).ToString(), "\xc3\xa9/*/7");
}

TEST(KeyPath, ParsesWhatItShows) {
  for (const KeyPath& path :
       {KeyPath(), KeyPath::Of({"a"}), KeyPath::Of({""}), KeyPath::Of({"", ""}),
        KeyPath::Of({"\\e", "e", "\\"}), KeyPath::Of({"[", "[]", "[1", "[1]", "]"}),
        Path({int64_t{0}, "0", int64_t{-1}}),
        Path({std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}),
        KeyPath::Of({"/", "//", "\\/"}), KeyPath::Of({"\x01\x1f\x7f\xff\x80", "x41", "\\x41"})}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const KeyPath back, KeyPath::Parse(path.ToString()));
    EXPECT_EQ(back, path) << path.ToString();
  }
}

TEST(KeyPath, RandomPathsComeBack) {
  std::mt19937 random(5);
  const std::string alphabet("ab/\\[]ex0-9*?!\n\0\xc3\xa9", 19);
  for (int round = 0; round < 5000; ++round) {
    KeyPath path;
    for (unsigned segments = random() % 4; segments > 0; --segments) {
      if (random() % 4 == 0) {
        path.Append(static_cast<int64_t>(random()) - (int64_t{1} << 31));
        continue;
      }
      std::string key;
      for (unsigned length = random() % 6; length > 0; --length)
        key.push_back(alphabet[random() % alphabet.size()]);
      path.Append(key);
    }
    CAIRN_ASSERT_OK_AND_ASSIGN(const KeyPath back, KeyPath::Parse(path.ToString()));
    ASSERT_EQ(back, path) << path.ToString();
  }
}

TEST(KeyPath, TakesEscapesThatItWouldNotWrite) {
  EXPECT_EQ(KeyPath::Parse("\\x41b\\[0]").value(), KeyPath::Of({"Ab[0]"}));
  EXPECT_EQ(KeyPath::Parse("\\x0A").value(), KeyPath::Of({"\n"}));
}

TEST(KeyPath, RefusesBadEscapesAndEmptySegments) {
  for (const char* text :
       {"a//b", "/a", "a/", "/",   "\\", "a\\",  "\\q",  "\\x",  "\\x4", "\\xg0", "a\\e",
        "\\ea", "[",  "[]", "[x]", "[1", "[1]a", "[+1]", "[01]", "[ 1]", "[-0]",  "[9223372036854775808]"}) {
    EXPECT_THAT(KeyPath::Parse(text), StatusIs(kInvalid, HasSubstr("key path"))) << text;
  }
}

TEST(KeyPath, StartsWithWholeSegments) {
  const KeyPath path = Path({"a", int64_t{1}, "b"});
  EXPECT_TRUE(path.StartsWith(KeyPath()));
  EXPECT_TRUE(path.StartsWith(Path({"a", int64_t{1}})));
  EXPECT_TRUE(path.StartsWith(path));
  EXPECT_FALSE(path.StartsWith(Path({"a", "1"})));
  EXPECT_FALSE(KeyPath::Of({"ab"}).StartsWith(KeyPath::Of({"a"})));
  EXPECT_FALSE(KeyPath::Of({"a"}).StartsWith(path));
}

TEST(KeyPath, TellsAPositionFromAKeyOfTheSameDigits) {
  EXPECT_NE(Path({int64_t{7}}), Path({"7"}));
  EXPECT_NE(absl::HashOf(Path({int64_t{7}})), absl::HashOf(Path({"7"})));
  EXPECT_LT(KeyPath::Of({"a"}), KeyPath::Of({"a", "b"}));
}

bool GlobMatches(absl::string_view glob, const KeyPath& path) {
  const absl::StatusOr<KeyGlob> parsed = KeyGlob::Parse(glob);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() && parsed->Matches(path);
}

TEST(KeyGlob, StarStaysWithinASegment) {
  EXPECT_TRUE(GlobMatches("params/*/kernel", KeyPath::Of({"params", "dense", "kernel"})));
  EXPECT_TRUE(GlobMatches("params/*/kernel", Path({"params", int64_t{3}, "kernel"})));
  EXPECT_FALSE(GlobMatches("params/*/kernel", KeyPath::Of({"params", "a", "b", "kernel"})));
  EXPECT_FALSE(GlobMatches("params/*", KeyPath::Of({"params"})));
  EXPECT_TRUE(GlobMatches("*.weight", KeyPath::Of({"model.layers.0.weight"})));
  EXPECT_TRUE(GlobMatches("model.*.we*t", KeyPath::Of({"model.layers.0.weight"})));
  EXPECT_FALSE(GlobMatches("*.weight", KeyPath::Of({"model.layers.0.weights"})));
  EXPECT_TRUE(GlobMatches("*", KeyPath::Of({""})));
  EXPECT_TRUE(GlobMatches("*", KeyPath::Of({"a/b"}))) << "a slash inside a key is no border";
}

TEST(KeyGlob, TwoStarsStandForAnyNumberOfSegments) {
  EXPECT_TRUE(GlobMatches("params/**/kernel", KeyPath::Of({"params", "kernel"})));
  EXPECT_TRUE(GlobMatches("params/**/kernel", KeyPath::Of({"params", "a", "b", "kernel"})));
  EXPECT_FALSE(GlobMatches("params/**/kernel", KeyPath::Of({"params", "a", "bias"})));
  EXPECT_TRUE(GlobMatches("opt_state/*/mu/**", Path({"opt_state", int64_t{0}, "mu", "params", "w"})));
  EXPECT_TRUE(GlobMatches("**", KeyPath()));
  EXPECT_TRUE(GlobMatches("**/a/**/b", KeyPath::Of({"a", "x", "a", "b", "b"})));
  EXPECT_FALSE(GlobMatches("**/a/**/b", KeyPath::Of({"a", "x", "b", "c"})));
}

TEST(KeyGlob, QuestionMarkAndSetsTakeOneCharacter) {
  EXPECT_TRUE(GlobMatches("h?", KeyPath::Of({"h1"})));
  EXPECT_TRUE(GlobMatches("h?", KeyPath::Of({"h\xc3\xa9"}))) << "one character, two bytes";
  EXPECT_FALSE(GlobMatches("h?", KeyPath::Of({"h"})));
  EXPECT_FALSE(GlobMatches("h?", KeyPath::Of({"h12"})));
  EXPECT_TRUE(GlobMatches("h/[12]/w", KeyPath::Of({"h", "2", "w"})));
  EXPECT_FALSE(GlobMatches("h/[12]/w", KeyPath::Of({"h", "3", "w"})));
  EXPECT_TRUE(GlobMatches("h.[0-3].w", KeyPath::Of({"h.2.w"})));
  EXPECT_FALSE(GlobMatches("h.[0-3].w", KeyPath::Of({"h.4.w"})));
  EXPECT_TRUE(GlobMatches("[!b]ias", KeyPath::Of({"cias"})));
  EXPECT_FALSE(GlobMatches("[!b]ias", KeyPath::Of({"bias"})));
  EXPECT_TRUE(GlobMatches("x[a-]", KeyPath::Of({"x-"})));
  EXPECT_TRUE(GlobMatches("x[\\]]", KeyPath::Of({"x]"})));
  EXPECT_TRUE(GlobMatches("x[\xc3\xa9]", KeyPath::Of({"x\xc3\xa9"})));
}

TEST(KeyGlob, APositionIsWrittenEscapedOrAsAWholeSegment) {
  EXPECT_TRUE(GlobMatches("opt/\\[7]/*", Path({"opt", int64_t{7}, "mu"})));
  EXPECT_TRUE(GlobMatches("opt/[7]/*", Path({"opt", int64_t{7}, "mu"})));
  EXPECT_TRUE(GlobMatches("opt/[12]", Path({"opt", int64_t{12}})));
  EXPECT_FALSE(GlobMatches("opt/[12]", Path({"opt", int64_t{1}}))) << "as a set it is for keys";
  EXPECT_FALSE(GlobMatches("opt/7", Path({"opt", int64_t{7}})));
}

TEST(KeyGlob, BackslashTakesTheMeaningAway) {
  EXPECT_TRUE(GlobMatches("a\\*", KeyPath::Of({"a*"})));
  EXPECT_FALSE(GlobMatches("a\\*", KeyPath::Of({"ab"})));
  EXPECT_TRUE(GlobMatches("a\\?\\[b]", KeyPath::Of({"a?[b]"})));
  EXPECT_TRUE(GlobMatches("a\\/b/*", KeyPath::Of({"a/b", "c"})));
  EXPECT_TRUE(GlobMatches("a\\x0ab*", KeyPath::Of({"a\nbc"})));
  EXPECT_TRUE(GlobMatches("\\e/*", KeyPath::Of({"", "c"})));
}

TEST(KeyGlob, AShownPathMatchesItself) {
  for (const KeyPath& path :
       {KeyPath::Of({"a", "b.c"}), Path({"a", int64_t{12}, ""}), KeyPath::Of({"a/b\\", "\n", "[x]", "*"})}) {
    EXPECT_TRUE(GlobMatches(path.ToString(), path)) << path.ToString();
  }
}

TEST(KeyGlob, RefusesWhatCannotMatch) {
  for (const char* glob :
       {"", "a//b", "/a", "a/", "*/", "[abc", "a[", "[]", "[!]", "[z-a]", "a\\", "\\q", "[a/b]"}) {
    EXPECT_THAT(KeyGlob::Parse(glob), StatusIs(kInvalid, HasSubstr("glob"))) << glob;
  }
}

TEST(KeyGlob, ManyStarsDoNotTakeForever) {
  std::string glob, key(20000, 'a');
  for (int i = 0; i < 50; ++i) glob += "*a";
  EXPECT_FALSE(GlobMatches(glob + "b", KeyPath::Of({key})));
  std::string deep;
  std::vector<std::string> segments(300, "a");
  for (int i = 0; i < 50; ++i) deep += "**/a/";
  EXPECT_FALSE(GlobMatches(deep + "b", KeyPath::Of(segments)));
}

}  // namespace
}  // namespace cairn
