#include "common/tensor/selection.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::vector<KeyPath>& Paths() {
  static const auto* const paths = new std::vector<KeyPath>{
      KeyPath::Of({"params", "dense", "kernel"}),
      KeyPath::Of({"params", "dense", "bias"}),
      KeyPath::Of({"params", "dense2", "kernel"}),
      KeyPath({"opt", int64_t{0}, "mu", "kernel"}),
      KeyPath({"opt", int64_t{1}, "count"}),
      KeyPath::Of({"opt"}),
      KeyPath::Of({"step"}),
      KeyPath::Of({"a[0]"}),
  };
  return *paths;
}

std::vector<std::string> Chosen(const std::vector<std::string>& patterns) {
  const absl::StatusOr<Selection> selection = Selection::Parse(patterns);
  EXPECT_TRUE(selection.ok()) << selection.status();
  std::vector<std::string> chosen;
  for (const KeyPath& path : Paths()) {
    if (selection.ok() && selection->Matches(path)) chosen.push_back(path.ToString());
  }
  return chosen;
}

TEST(Selection, WithoutPatternsChoosesAll) {
  EXPECT_EQ(Chosen({}).size(), Paths().size());
  EXPECT_TRUE(Selection().empty());
  EXPECT_TRUE(Selection().Matches(KeyPath::Of({"anything"})));
}

TEST(Selection, APathChoosesTheEntryOrEverythingBelow) {
  EXPECT_THAT(Chosen({"step"}), ElementsAre("step"));
  EXPECT_THAT(Chosen({"params/dense"}), ElementsAre("params/dense/kernel", "params/dense/bias"));
  EXPECT_THAT(Chosen({"opt/[1]"}), ElementsAre("opt/[1]/count"));
  EXPECT_THAT(Chosen({"opt/1"}), IsEmpty());
  EXPECT_THAT(Chosen({"par"}), IsEmpty()) << "half a segment is no path";
}

TEST(Selection, ATrailingSlashChoosesOnlyWhatIsBelow) {
  EXPECT_THAT(Chosen({"opt/"}), ElementsAre("opt/[0]/mu/kernel", "opt/[1]/count"));
  EXPECT_THAT(Chosen({"opt"}), ElementsAre("opt/[0]/mu/kernel", "opt/[1]/count", "opt"));
  EXPECT_THAT(Chosen({"step/"}), IsEmpty());
  EXPECT_EQ(Chosen({"/"}).size(), Paths().size()) << "below the root is everything";
}

TEST(Selection, GlobsChooseBySegment) {
  EXPECT_THAT(Chosen({"params/*/kernel"}), ElementsAre("params/dense/kernel", "params/dense2/kernel"));
  EXPECT_THAT(Chosen({"**/kernel"}),
              ElementsAre("params/dense/kernel", "params/dense2/kernel", "opt/[0]/mu/kernel"));
  EXPECT_THAT(Chosen({"st[e]p"}), ElementsAre("step"));
  EXPECT_THAT(Chosen({"opt/[0]/**"}), ElementsAre("opt/[0]/mu/kernel"));
  EXPECT_THAT(Chosen({"a\\[0]"}), ElementsAre("a[0]")) << "escaped, it is a plain path";
}

TEST(Selection, SeveralPatternsAddUp) {
  EXPECT_THAT(Chosen({"step", "params/dense/bias"}), ElementsAre("params/dense/bias", "step"));
}

TEST(Selection, AnExclamationMarkTakesAwayFromWhatCameBefore) {
  EXPECT_THAT(Chosen({"params/", "!**/bias"}), ElementsAre("params/dense/kernel", "params/dense2/kernel"));
  EXPECT_THAT(Chosen({"!params", "!opt"}), ElementsAre("step", "a[0]")) << "first of all: from all";
  EXPECT_THAT(Chosen({"params", "!params/dense", "params/dense/bias"}),
              ElementsAre("params/dense/bias", "params/dense2/kernel"));
  EXPECT_THAT(Chosen({"!params", "params/dense/bias", "!**"}), IsEmpty());
}

TEST(Selection, ListsPatternsThatMatchNothing) {
  std::vector<const KeyPath*> paths;
  for (const KeyPath& path : Paths()) paths.push_back(&path);
  CAIRN_ASSERT_OK_AND_ASSIGN(const Selection selection,
                             Selection::Parse({"params", "parms", "**/karnel", "!nothing", "step/"}));
  EXPECT_THAT(selection.Unmatched(paths), ElementsAre("parms", "**/karnel", "step/"));
}

TEST(Selection, RefusesPatternsThatDoNotParse) {
  for (const char* pattern : {"", "!", "a//b", "//", "a\\", "[x", "a/*/", "*//", "!a\\q"}) {
    EXPECT_THAT(Selection::Parse({pattern}), StatusIs(absl::StatusCode::kInvalidArgument)) << pattern;
  }
}

}  // namespace
}  // namespace cairn
