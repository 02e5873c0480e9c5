#include "client/cli/exit_code.h"

#include "absl/strings/match.h"
#include "common/base/error_info.h"
#include "common/format/cairndiff/diff_file.h"
#include "gtest/gtest.h"

namespace cairn::cli {
namespace {

TEST(ExitCode, MapsEveryCodeThatScriptsActOn) {
  EXPECT_EQ(ExitCodeFor(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeFor(absl::InternalError("x")), 1);
  EXPECT_EQ(ExitCodeFor(absl::InvalidArgumentError("x")), 1);
  EXPECT_EQ(ExitCodeFor(absl::PermissionDeniedError("x")), 1);
  EXPECT_EQ(ExitCodeFor(absl::ResourceExhaustedError("x")), 1);
  EXPECT_EQ(ExitCodeFor(UsageError("x")), 2);
  EXPECT_EQ(ExitCodeFor(absl::NotFoundError("x")), 3);
  EXPECT_EQ(ExitCodeFor(absl::AlreadyExistsError("x")), 4);
  EXPECT_EQ(ExitCodeFor(absl::FailedPreconditionError("x")), 4);
  EXPECT_EQ(ExitCodeFor(absl::AbortedError("x")), 4);
  EXPECT_EQ(ExitCodeFor(absl::DataLossError("x")), 5);
  EXPECT_EQ(ExitCodeFor(absl::UnavailableError("x")), 6);
  EXPECT_EQ(ExitCodeFor(absl::DeadlineExceededError("x")), 6);
  EXPECT_EQ(ExitCodeFor(absl::CancelledError("x")), 130);
}

TEST(ExitCode, DisagreementAboutTlsIsAServerThatCannotBeReached) {
  EXPECT_EQ(ExitCodeFor(WithErrorInfo(absl::FailedPreconditionError("x"), {"TLS_REQUIRED", {}})), 6);
  EXPECT_EQ(ExitCodeFor(WithErrorInfo(absl::UnauthenticatedError("x"), {"TLS_CLIENT_CERTIFICATE", {}})), 6);
}

TEST(ExitCode, CountsATruncatedFileAsDamaged) {
  EXPECT_EQ(ExitCodeFor(AsDamagedFile(absl::InvalidArgumentError("file shorter than its header"))), 5);
  EXPECT_EQ(ExitCodeFor(AsDamagedFile(absl::NotFoundError("no file"))), 3);
  EXPECT_EQ(ErrorWord(AsDamagedFile(absl::InvalidArgumentError("x"))), "INVALID_ARGUMENT");
}

TEST(ErrorWord, NamesTheCode) {
  EXPECT_EQ(ErrorWord(absl::NotFoundError("x")), "NOT_FOUND");
  EXPECT_EQ(ErrorWord(UsageError("x")), "USAGE");
}

TEST(HintFor, SaysHowToReachAServer) {
  EXPECT_TRUE(absl::StrContains(HintFor(absl::UnavailableError("x"), "localhost:7710"), "localhost:7710"));
  EXPECT_EQ(HintFor(absl::InternalError("x"), "localhost:7710"), "");
}

TEST(HintFor, SendsToVerifyOnlyWhatVerifyKnowsMoreOf) {
  EXPECT_TRUE(absl::StrContains(HintFor(absl::DataLossError("x"), ""), "cairn verify"));
  EXPECT_EQ(HintFor(AsDamagedFile(absl::DataLossError("x")), ""), "");
  const std::string of_diff = HintFor(DamagedDiff("x"), "");
  EXPECT_TRUE(absl::StrContains(of_diff, "cairn diff BASE TARGET")) << of_diff;
  EXPECT_EQ(HintFor(AsDamagedFile(DamagedDiff("x")), ""), of_diff);
  EXPECT_EQ(ExitCodeFor(AsDamagedFile(DamagedDiff("x"))), 5);
}

}  // namespace
}  // namespace cairn::cli
