#include "server/store/object_store.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(CheckObjectKey, SaysWhatIsWrong) {
  EXPECT_THAT(CheckObjectKey(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty")));
  EXPECT_THAT(CheckObjectKey("a/../b"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("segment \"..\"")));
  EXPECT_THAT(CheckObjectKey("a//b"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("an empty one")));
  EXPECT_THAT(CheckObjectKey(std::string(513, 'k')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("513 bytes")));
  EXPECT_THAT(CheckObjectKey(std::string(256, 'k')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("256 bytes")));
}

TEST(CheckObjectKey, ShowsHostileKeysEscapedAndShort) {
  const std::string key = std::string("\x1b[2J\n") + std::string(400, 'a');
  const absl::Status status = CheckObjectKey(key);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                               AllOf(HasSubstr("\\x1b[2J\\n"), HasSubstr("..."), Not(HasSubstr("\x1b")))));
  EXPECT_LT(status.message().size(), 250u);
}

TEST(CheckObjectKey, TakesWhatTheContractAllows) {
  for (const char* key : {"a", "A-Z_0.9", ".a", "a.", "...", "a/b/c", "-/_"})
    CAIRN_EXPECT_OK(CheckObjectKey(key));
}

}  // namespace
}  // namespace cairn::testing
