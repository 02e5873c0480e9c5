#include "common/convert/path_prefix.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

std::string Added(absl::string_view prefix, absl::string_view path) {
  return PathPrefix::Parse(prefix).value().AddTo(KeyPath::Parse(path).value()).value().ToString();
}
std::string Taken(absl::string_view prefix, absl::string_view path) {
  const auto rest = PathPrefix::Parse(prefix).value().TakeFrom(KeyPath::Parse(path).value());
  return rest.has_value() ? rest->ToString() : "nothing";
}

TEST(PathPrefix, ContinuesInTheFirstSegment) {
  EXPECT_EQ(Added("model.", "h.0.w"), "model.h.0.w");
  EXPECT_EQ(Added("model.", "h/w"), "model.h/w");
  EXPECT_EQ(Taken("model.", "model.h.0.w"), "h.0.w");
  EXPECT_EQ(Taken("model.", "lm_head.w"), "nothing");
  EXPECT_EQ(Taken("model.", "model."), "nothing");
}

TEST(PathPrefix, IsALevelOfItsOwnWithASlash) {
  EXPECT_EQ(Added("params/", "h/w"), "params/h/w");
  EXPECT_EQ(Added("a/b/", "[0]/w"), "a/b/[0]/w");
  EXPECT_EQ(Added("a/model.", "w"), "a/model.w");
  EXPECT_EQ(Taken("params/", "params/h/w"), "h/w");
  EXPECT_EQ(Taken("params/", "params"), "nothing");
  EXPECT_EQ(Taken("a/model.", "a/model.w"), "w");
  EXPECT_EQ(Added("a\\/b.", "w"), "a\\/b.w");
}

TEST(PathPrefix, DoesNotContinueInAPosition) {
  EXPECT_THAT(PathPrefix::Parse("model.").value().AddTo(KeyPath({KeyPath::Segment(int64_t{0})})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("position")));
  EXPECT_THAT(PathPrefix::Parse("a/[0]"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("position")));
}

TEST(PathPrefix, RefusesWhatBeginsNoPath) {
  EXPECT_FALSE(PathPrefix::Parse("/").ok());
  EXPECT_FALSE(PathPrefix::Parse("a//").ok());
  EXPECT_TRUE(PathPrefix::Parse("").value().empty());
}

}  // namespace
}  // namespace cairn
