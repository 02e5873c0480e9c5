#include "common/base/error_info.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cairn {
namespace {

using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(ErrorInfo, ComesBackFromAStatus) {
  const absl::Status status =
      WithErrorInfo(absl::DataLossError("bad bytes"), {"DIGEST_MISMATCH", {{"path", "a/b"}, {"box", ""}}});
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(status.message(), "bad bytes");
  const ErrorInfo info = GetErrorInfo(status);
  EXPECT_EQ(info.reason, "DIGEST_MISMATCH");
  EXPECT_THAT(info.metadata, UnorderedElementsAre(Pair("path", "a/b"), Pair("box", "")));
}

TEST(ErrorInfo, KeepsEarlierFactsUnlessTheyAreNamedAgain) {
  absl::Status status =
      WithErrorInfo(absl::NotFoundError("x"), {"NO_ENTRY", {{"path", "a"}, {"ref", "r@1"}}});
  status = WithErrorInfo(status, {"", {{"ref", "r@2"}}});
  const ErrorInfo info = GetErrorInfo(status);
  EXPECT_EQ(info.reason, "NO_ENTRY");
  EXPECT_THAT(info.metadata, UnorderedElementsAre(Pair("path", "a"), Pair("ref", "r@2")));
}

TEST(ErrorInfo, IsEmptyForAStatusWithoutOne) {
  EXPECT_TRUE(GetErrorInfo(absl::NotFoundError("x")).empty());
  EXPECT_TRUE(GetErrorInfo(absl::OkStatus()).empty());
}

TEST(ErrorInfo, LeavesOkAlone) { EXPECT_TRUE(WithErrorInfo(absl::OkStatus(), {"REASON", {}}).ok()); }

}  // namespace
}  // namespace cairn
