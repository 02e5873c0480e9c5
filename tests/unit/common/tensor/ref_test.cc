#include "common/tensor/ref.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::IsOk;
using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

TEST(Ref, NamesAStep) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Ref ref, Ref::Parse("team/run-1@400"));
  EXPECT_EQ(ref.name, "team/run-1");
  EXPECT_EQ(ref.step, 400);
  EXPECT_EQ(ref.tag, "");
  EXPECT_EQ(ref.uid, "");
  EXPECT_EQ(ref.ToString(), "team/run-1@400");
}

TEST(Ref, NamesATag) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Ref ref, Ref::Parse("run@best"));
  EXPECT_EQ(ref.tag, "best");
  EXPECT_EQ(ref.step, std::nullopt);
  EXPECT_EQ(ref.ToString(), "run@best");
}

TEST(Ref, ABareNameIsTheLatest) {
  for (const char* text : {"run", "run@latest"}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const Ref ref, Ref::Parse(text));
    EXPECT_EQ(ref.name, "run");
    EXPECT_EQ(ref.step, std::nullopt);
    EXPECT_EQ(ref.tag, "");
    EXPECT_EQ(ref.ToString(), "run@latest");
  }
}

TEST(Ref, NamesAUid) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const Ref ref, Ref::Parse("uid:0af3"));
  EXPECT_EQ(ref.uid, "0af3");
  EXPECT_EQ(ref.name, "");
  EXPECT_EQ(ref.ToString(), "uid:0af3");
}

TEST(Ref, TakesTheLargestStep) {
  EXPECT_EQ(Ref::Parse("r@9223372036854775807").value().step, 9223372036854775807);
  EXPECT_EQ(Ref::Parse("r@0").value().step, 0);
  EXPECT_THAT(Ref::Parse("r@9223372036854775808"), StatusIs(kInvalid, HasSubstr("64-bit")));
}

TEST(Ref, RefusalSaysWhatARefLooksLike) {
  for (const char* text : {"", "@1", "run@", "run@-1", "run@1x", "run@a@b", "run@+1", "a//b", "/a", "a/",
                           "uid:", "uid:a/b", "run@best/x", "run name", "UID:3", "run@ 1"}) {
    EXPECT_THAT(Ref::Parse(text), StatusIs(kInvalid, HasSubstr("expected NAME@STEP"))) << text;
  }
}

TEST(Ref, RefusalNamesThePartThatIsWrong) {
  for (const auto& [text, found] : {
           std::pair("", "it is empty"),
           std::pair("team/my run@1", "\"my run\""),
           std::pair("run@", "nothing follows the @"),
           std::pair("run@-1", "the step \"-1\" is no whole number"),
           std::pair("run@1.5", "the step \"1.5\" is no whole number"),
           std::pair("run@a b", "tag \"a b\""),
       }) {
    EXPECT_THAT(Ref::Parse(text), StatusIs(kInvalid, HasSubstr(found))) << text;
  }
}

TEST(Ref, RefusalOfALongTextIsShort) {
  const absl::Status status = Ref::Parse(std::string(1 << 20, '/')).status();
  EXPECT_THAT(status, StatusIs(kInvalid, HasSubstr("of 1048576 bytes")));
  EXPECT_LT(status.message().size(), 1000u);
}

TEST(CheckCheckpointName, TakesSegmentsOfWordCharacters) {
  for (const char* name : {"a", "7b", "team/llama-7B_v1.2/run", "a/b/c", "A..b", "x-"}) {
    EXPECT_THAT(CheckCheckpointName(name), IsOk());
  }
  EXPECT_THAT(CheckCheckpointName(std::string(255, 'a')), IsOk());
}

TEST(CheckCheckpointName, RefusesWhatCouldLeaveAFolderOrConfuseARef) {
  for (const char* name : {"", "/", "a/", "/a", "a//b", ".", "..", "a/..", "a/.b", "-a", "_a", "a b", "a@b",
                           "a:b", "\xc3\xa9", "a\\b"}) {
    EXPECT_THAT(CheckCheckpointName(name), StatusIs(kInvalid)) << name;
  }
  EXPECT_THAT(CheckCheckpointName(absl::string_view("a\0b", 3)), StatusIs(kInvalid));
  EXPECT_THAT(CheckCheckpointName(std::string(256, 'a')), StatusIs(kInvalid, HasSubstr("256 bytes")));
}

TEST(CheckTagName, TakesWordsThatBeginWithALetter) {
  for (const char* tag : {"best", "v1.0", "Prod_2-x", "latest2", "Latest"})
    EXPECT_THAT(CheckTagName(tag), IsOk());
  EXPECT_THAT(CheckTagName(std::string(128, 'a')), IsOk());
}

TEST(CheckTagName, RefusesWhatLooksLikeAStepOrIsComputed) {
  for (const char* tag : {"", "1", "1a", "latest", "a/b", "a b", "a@b", "-a", ".a"}) {
    EXPECT_THAT(CheckTagName(tag), StatusIs(kInvalid)) << tag;
  }
  EXPECT_THAT(CheckTagName(std::string(129, 'a')), StatusIs(kInvalid));
}

}  // namespace
}  // namespace cairn
