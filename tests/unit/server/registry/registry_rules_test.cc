#include "server/registry/registry_rules.h"

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::registry_rules {
namespace {

using cairn::testing::StatusIs;
using ::testing::HasSubstr;

TEST(RegistryRules, TimesSurviveTheirNumbers) {
  for (const absl::Time time : {absl::InfinitePast(), absl::UnixEpoch(), absl::FromUnixMicros(-1),
                                absl::FromUnixMicros(1'700'000'000'123'456), absl::InfiniteFuture()}) {
    EXPECT_EQ(TimeFromMicros(ToMicros(time)), time);
  }
  for (const absl::Duration duration :
       {absl::ZeroDuration(), absl::Microseconds(1), absl::Hours(1), absl::InfiniteDuration()}) {
    EXPECT_EQ(DurationFromMicros(ToMicros(duration)), duration);
  }
}

TEST(RegistryRules, AListBeginsAtTheLaterOfFilterAndPosition) {
  const auto start = [](CheckpointFilter filter, absl::string_view name, int64_t step) {
    const ListStart found = StartOfList(filter, name, step);
    return found.step < 0 ? found.name : Ref(found.name, found.step);
  };
  EXPECT_EQ(start({}, "", 0), "@0");
  EXPECT_EQ(start({.name = "b"}, "a", 5), "b");
  EXPECT_EQ(start({.name = "b"}, "b", 5), "b@5");
  EXPECT_EQ(start({.name_prefix = "b"}, "a", 5), "b");
  EXPECT_EQ(start({.name_prefix = "b"}, "ba", 5), "ba@5");
  EXPECT_EQ(start({.name_prefix = "b"}, "c", 5), "c@5");
}

TEST(RegistryRules, AListEndsWhereNamesLeaveTheFilter) {
  EXPECT_TRUE(NameInRange({}, "a"));
  EXPECT_TRUE(NameInRange({.name = "a"}, "a"));
  EXPECT_FALSE(NameInRange({.name = "a"}, "ab"));
  EXPECT_TRUE(NameInRange({.name_prefix = "a"}, "ab"));
  EXPECT_FALSE(NameInRange({.name_prefix = "ab"}, "a"));
}

TEST(RegistryRules, ARefusalNamesTheStateThatItFound) {
  CAIRN_EXPECT_OK(CheckOpen("s", SessionState::kOpen));
  EXPECT_THAT(CheckOpen("s", SessionState::kCommitted),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("committed")));
  EXPECT_THAT(CheckOpen("s", SessionState::kAborted),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("aborted")));
  EXPECT_THAT(CheckOpen("s", SessionState::kExpired),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expired")));
}

}  // namespace
}  // namespace cairn::registry_rules
