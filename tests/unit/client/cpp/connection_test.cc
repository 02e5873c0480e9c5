#include "cairn/connection.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/error_info.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/client/cpp/fake_cairnd.h"

namespace cairn::client {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

const absl::Status kLost = absl::UnavailableError("connection reset");

class ConnectionTest : public ::testing::Test {
 protected:
  ConnectionTest() { options_.clock = &clock_; }

  Connection& Connect() {
    connection_ = *MakeConnection(daemon_.target(), options_);
    return *connection_;
  }

  testing::FakeClock clock_;
  Options options_;
  FakeCairnd daemon_;
  std::shared_ptr<Connection> connection_;
};

TEST_F(ConnectionTest, RetriesUnavailableAndNothingElse) {
  for (int code = 1; code <= 16; ++code) {
    const auto status_code = static_cast<absl::StatusCode>(code);
    // Nobody here cancels: the daemon stopped.
    const bool retried = status_code == absl::StatusCode::kUnavailable || status_code == absl::StatusCode::kCancelled;
    FakeCairnd daemon;
    connection_ = *MakeConnection(daemon.target(), options_);
    daemon.FailNext("GetCheckpoint", {WithErrorInfo(absl::Status(status_code, "why"), {"REASON", {}})});
    const absl::StatusOr<CheckpointInfo> found = connection_->GetCheckpoint("team/run@7");
    EXPECT_EQ(daemon.calls("GetCheckpoint"), retried ? 2 : 1) << status_code;
    if (retried) {
      CAIRN_EXPECT_OK(found);
      continue;
    }
    EXPECT_EQ(found.status().code(), status_code);
    EXPECT_THAT(std::string(found.status().message()), HasSubstr("team/run@7"));
    EXPECT_EQ(GetErrorInfo(found.status()).reason, "REASON");
  }
}

TEST_F(ConnectionTest, TextThatIsNotUtf8IsRefusedWithItsFieldBeforeItIsSent) {
  SaveSpec spec;
  spec.name = "team/run";
  spec.metadata = {{"note", "\xff"}};
  EXPECT_THAT(Connect().BeginSave(spec),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("metadata.value: expected UTF-8")));
  ListCheckpointsSpec list;
  list.name_prefix = "\xe4";
  EXPECT_THAT(connection_->ListCheckpoints(list),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("name_prefix")));
  EXPECT_EQ(daemon_.calls("BeginSave") + daemon_.calls("ListCheckpoints"), 0);
}

TEST_F(ConnectionTest, PausesGrowUpToTheLimitAndAreJittered) {
  daemon_.FailNext("GetServerInfo", std::vector<absl::Status>(6, kLost));
  options_.initial_backoff = absl::Milliseconds(100);
  options_.max_backoff = absl::Milliseconds(800);
  const absl::Time before = clock_.Now();
  CAIRN_ASSERT_OK(Connect().GetServerInfo());
  // 100 + 200 + 400 + 800 + 800 + 800, each between half of it and all.
  EXPECT_GE(clock_.Now() - before, absl::Milliseconds(1550));
  EXPECT_LE(clock_.Now() - before, absl::Milliseconds(3100));
}

TEST_F(ConnectionTest, GivesUpAfterAWhileAndSaysWhomItCannotReach) {
  testing::TempDir dir;
  const std::string target = "unix:" + dir / "nobody";
  options_.retry_for = absl::Seconds(10);
  connection_ = *MakeConnection(target, options_);
  const absl::Time before = clock_.Now();
  EXPECT_THAT(connection_->GetServerInfo(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("cannot reach cairnd at " + target)));
  EXPECT_GE(clock_.Now() - before, absl::Seconds(5));
  EXPECT_LE(clock_.Now() - before, absl::Seconds(10));

  EXPECT_THAT(connection_->OpenGet({.ref = "a"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(target)));
  EXPECT_THAT(connection_->OpenPut({.session_id = "s"}), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(target)));
  EXPECT_THAT(connection_->Verify("a", nullptr), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(target)));

  options_.retry_for = absl::ZeroDuration();
  connection_ = *MakeConnection(target, options_);
  const absl::Time start = clock_.Now();
  EXPECT_THAT(connection_->GetServerInfo(), StatusIs(absl::StatusCode::kUnavailable, Not(HasSubstr("tried"))));
  EXPECT_EQ(clock_.Now(), start);
}

TEST_F(ConnectionTest, RepeatedBeginSaveUsesTheSameKey) {
  daemon_.FailNext("BeginSave", {kLost, kLost});
  SaveSpec spec;
  spec.name = "team/run";
  CAIRN_ASSERT_OK_AND_ASSIGN(const OpenedSave save, Connect().BeginSave(spec));
  EXPECT_EQ(save.extent_bytes, 64u);
  EXPECT_EQ(save.session.state, SessionState::kOpen);
  const std::vector<std::string> keys = daemon_.session_keys();
  ASSERT_THAT(keys, SizeIs(3));
  EXPECT_THAT(keys[0], SizeIs(32));
  EXPECT_EQ(keys[1], keys[0]);
  EXPECT_EQ(keys[2], keys[0]);

  CAIRN_ASSERT_OK(connection_->BeginSave(spec));
  EXPECT_NE(daemon_.session_keys().back(), keys[0]) << "another save, another session";
  spec.session_key = "job-17";
  CAIRN_ASSERT_OK(connection_->BeginSave(spec));
  EXPECT_EQ(daemon_.session_keys().back(), "job-17");
}

TEST_F(ConnectionTest, DeleteNamesTheCheckpointForGoodBefore) {
  daemon_.FailNext("DeleteCheckpoint", {kLost});
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto deleted, Connect().DeleteCheckpoint({"team/run", false}));
  ASSERT_TRUE(deleted.has_value());
  EXPECT_EQ(deleted->ShownRef(), "team/run@7");
  EXPECT_THAT(daemon_.deleted(), ElementsAre("uid:uid-of-the-fake"));
}

TEST_F(ConnectionTest, DeleteWhoseAnswerWasLostSucceeds) {
  daemon_.FailNext("DeleteCheckpoint", {kLost}, /*after=*/true);
  CAIRN_ASSERT_OK(Connect().DeleteCheckpoint({"team/run", false}));
  EXPECT_EQ(daemon_.calls("DeleteCheckpoint"), 2);
  EXPECT_THAT(connection_->DeleteCheckpoint({"team/run", false}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("team/run")));
  CAIRN_ASSERT_OK_AND_ASSIGN(auto none, connection_->DeleteCheckpoint({"team/run", true}));
  EXPECT_FALSE(none.has_value());
  CAIRN_ASSERT_OK_AND_ASSIGN(none, connection_->DeleteCheckpoint({"missing", true}));
  EXPECT_FALSE(none.has_value());
  EXPECT_THAT(connection_->DeleteCheckpoint({"missing", false}), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ConnectionTest, SetTagWhoseAnswerWasLostSucceeds) {
  daemon_.FailNext("SetTag", {kLost}, /*after=*/true);
  CAIRN_ASSERT_OK(Connect().SetTag({"team/run@7", "best", ""}));
  EXPECT_EQ(daemon_.calls("SetTag"), 2);
  EXPECT_THAT(connection_->SetTag({"team/run@7", "best", "another uid"}), StatusIs(absl::StatusCode::kAborted));
}

TEST_F(ConnectionTest, DeleteTagWhoseAnswerWasLostSucceeds) {
  CAIRN_ASSERT_OK(Connect().SetTag({"team/run@7", "best", std::nullopt}));
  daemon_.FailNext("DeleteTag", {kLost}, /*after=*/true);
  CAIRN_ASSERT_OK(connection_->DeleteTag({"team/run", "best", false}));
  EXPECT_THAT(connection_->DeleteTag({"team/run", "best", false}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("team/run@best")));
}

TEST_F(ConnectionTest, VerifyBeginsAnewAfterALostConnection) {
  daemon_.FailNext("VerifyCheckpoint", {kLost}, /*after=*/true);
  std::vector<uint64_t> done;
  CAIRN_ASSERT_OK_AND_ASSIGN(const VerifyResult result, Connect().Verify("team/run", [&](const VerifyProgress& progress) {
    done.push_back(progress.bytes_done);
  }));
  EXPECT_THAT(done, ElementsAre(0, 0, 100));
  EXPECT_THAT(result.problems, SizeIs(1)) << "those of the attempt that was lost do not count";
  EXPECT_EQ(result.bytes, 100u);
  EXPECT_EQ(result.checkpoint.name, "team/run");
}

TEST_F(ConnectionTest, CancellationEndsAUnaryCallAndItsPauses) {
  options_.cancellation.emplace();
  options_.cancellation->Cancel();
  daemon_.FailNext("GetServerInfo", {kLost});
  EXPECT_THAT(Connect().GetServerInfo(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_LE(daemon_.calls("GetServerInfo"), 1);
}

TEST_F(ConnectionTest, SendsTheTokenOverAUnixSocketButNeverInPlainTextOverANetwork) {
  testing::TempDir dir;
  FakeCairnd daemon(dir / "sock");
  options_.bearer_token = "secret";
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto local, MakeConnection(daemon.target(), options_));
  CAIRN_ASSERT_OK_AND_ASSIGN(const ServerInfo info, local->GetServerInfo());
  EXPECT_EQ(info.version, "Bearer secret");
  EXPECT_THAT(MakeConnection("host:7420", options_),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("plain text"), Not(HasSubstr("secret")))));
}

int SendBuffer(int socket) {
  int bytes = 0;
  socklen_t size = sizeof(bytes);
  return ::getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, &size) == 0 ? bytes : 0;
}

TEST_F(ConnectionTest, ASocketOnTheSameMachineHasMoreRoomForWhatIsSentThanOthers) {
  testing::TempDir dir;
  const std::string path = dir / "sock";
  FakeCairnd daemon(path);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto local, MakeConnection(daemon.target(), options_));
  CAIRN_ASSERT_OK(local->GetServerInfo().status());
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  const int usual = SendBuffer(pair[0]);
  std::vector<int> found;
  for (int fd = 0; fd < 1024; ++fd) {
    sockaddr_un peer = {};
    socklen_t size = sizeof(peer);
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0 || peer.sun_family != AF_UNIX) continue;
    if (path == peer.sun_path) found.push_back(SendBuffer(fd));
  }
  ::close(pair[0]);
  ::close(pair[1]);
  EXPECT_THAT(found, ElementsAre(::testing::Gt(usual)));
}

TEST_F(ConnectionTest, RefusesTargetsThatAreNoAddress) {
  for (const char* target : {"", "host", "host:", ":1", "host:0", "host:65536", "host:http", "http://host:1", "unix:",
                             "unix:relative", "::1:80"}) {
    EXPECT_THAT(MakeConnection(target, options_), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("HOST:PORT")))
        << target;
  }
  for (const char* target : {"localhost:1", "10.0.0.1:65535", "[::1]:80", "unix:/run/cairn.sock"}) {
    CAIRN_EXPECT_OK(MakeConnection(target, options_));
  }
}

}  // namespace
}  // namespace cairn::client
