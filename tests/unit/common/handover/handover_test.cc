#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/handover/file_giver.h"
#include "common/handover/file_taker.h"
#include "common/handover/handover_socket.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::cairn::testing::TempDir;
using ::testing::HasSubstr;

class HandoverTest : public ::testing::Test {
 protected:
  std::string Path() const { return dir_.path() + "/cairn.sock"; }
  std::unique_ptr<FileGiver> Listen(mode_t mode) const {
    absl::StatusOr<std::unique_ptr<FileGiver>> giver = FileGiver::Listen(Path(), mode);
    EXPECT_THAT(giver, testing::IsOk());
    return giver.ok() ? *std::move(giver) : nullptr;
  }
  int MakeFile(const std::string& name, const std::string& bytes) {
    std::ofstream(dir_.path() + "/" + name) << bytes;
    return ::open((dir_.path() + "/" + name).c_str(), O_RDONLY | O_CLOEXEC);
  }
  static std::string ReadAll(int file) {
    std::string bytes(64, '\0');
    bytes.resize(static_cast<size_t>(std::max<ssize_t>(0, ::pread(file, bytes.data(), bytes.size(), 0))));
    return bytes;
  }
  // The giver's thread learns of what a peer does a moment later.
  static bool Eventually(const std::function<bool()>& holds) {
    for (int i = 0; i < 10000; ++i) {
      if (holds()) return true;
      ::usleep(1000);
    }
    return false;
  }

  TempDir dir_;
};

TEST_F(HandoverTest, FilesArriveByNumberInAnyOrderAndOutliveTheirNames) {
  const std::unique_ptr<FileGiver> giver = Listen(0600);
  ASSERT_NE(giver, nullptr);
  const std::unique_ptr<FileTaker> taker = FileTaker::Connect(Path());
  ASSERT_NE(taker, nullptr);
  const std::shared_ptr<FilePeer> peer = giver->Find(taker->ticket());
  ASSERT_NE(peer, nullptr);
  const UniqueFd a(MakeFile("a", "of a")), b(MakeFile("b", "of b"));
  ASSERT_TRUE(peer->Give(0, a.get()));
  ASSERT_TRUE(peer->Give(70000, b.get()));
  std::filesystem::remove(dir_.path() + "/a");
  const absl::StatusOr<int> second = taker->File(70000);
  CAIRN_ASSERT_OK(second);
  const absl::StatusOr<int> first = taker->File(0);
  CAIRN_ASSERT_OK(first);
  EXPECT_EQ(ReadAll(*first), "of a");
  EXPECT_EQ(ReadAll(*second), "of b");
}

TEST_F(HandoverTest, EachConnectionHasATicketOfItsOwnWhichEndsWithIt) {
  const std::unique_ptr<FileGiver> giver = Listen(0600);
  ASSERT_NE(giver, nullptr);
  std::unique_ptr<FileTaker> one = FileTaker::Connect(Path());
  const std::unique_ptr<FileTaker> two = FileTaker::Connect(Path());
  ASSERT_TRUE(one != nullptr && two != nullptr);
  EXPECT_NE(one->ticket(), two->ticket());
  EXPECT_EQ(giver->Find("no such ticket!!"), nullptr);
  EXPECT_EQ(giver->Find(""), nullptr);
  const std::string ticket = one->ticket();
  const std::shared_ptr<FilePeer> peer = giver->Find(ticket);
  one.reset();
  EXPECT_TRUE(Eventually([&] { return giver->Find(ticket) == nullptr; }));
  const UniqueFd file(MakeFile("a", "of a"));
  EXPECT_FALSE(peer->Give(0, file.get()));
  EXPECT_NE(giver->Find(two->ticket()), nullptr);
}

TEST_F(HandoverTest, WithoutADaemonThereAreNoFiles) { EXPECT_EQ(FileTaker::Connect(Path()), nullptr); }

TEST_F(HandoverTest, AnotherUserIsLetGo) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  const std::unique_ptr<FileGiver> giver = Listen(0666);
  ASSERT_NE(giver, nullptr);
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0755), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(2);
    // It reaches the socket, so it is the giver that refuses.
    if (!handover_internal::ConnectSocket(absl::StrCat(Path(), handover_internal::kSuffix)).ok()) ::_exit(3);
    ::_exit(FileTaker::Connect(Path()) == nullptr ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// A process of that user, which runs `work` and ends with what it returns.
pid_t RunAs(uid_t user, const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::setgid(user) == 0 && ::setuid(user) == 0 ? work() : 100);
  return child;
}

int ExitOf(pid_t child) {
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(HandoverTest, ASocketThatAnotherUserPutThereIsNotWaitedFor) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0777), 0);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  UniqueFd ready(ends[0]), tell(ends[1]);
  const pid_t squatter = RunAs(65534, [&] {
    const absl::StatusOr<UniqueFd> socket = handover_internal::BindSocket(Path() + ".files");
    if (!socket.ok() || ::chmod((Path() + ".files").c_str(), 0666) != 0 || ::listen(socket->get(), 8) != 0 || ::write(tell.get(), "", 1) != 1) return 1;
    return ::pause();
  });
  char byte;
  tell = UniqueFd();
  ASSERT_EQ(::read(ready.get(), &byte, 1), 1);
  const absl::Time begin = absl::Now();
  EXPECT_EQ(ExitOf(RunAs(65533, [&] { return FileTaker::Connect(Path()) == nullptr ? 0 : 1; })), 0);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(handover_internal::kGreetingWait.tv_sec));
  ::kill(squatter, SIGKILL);
  EXPECT_EQ(ExitOf(squatter), -1);
}

TEST_F(HandoverTest, ADaemonThatStandsStillIsGivenUp) {
  const absl::StatusOr<UniqueFd> listener = handover_internal::BindSocket(Path() + ".files");
  CAIRN_ASSERT_OK(listener);
  ASSERT_EQ(::listen(listener->get(), 0), 0);
  // Nobody is let in, and then nobody may even wait.
  EXPECT_EQ(FileTaker::Connect(Path()), nullptr);
  const absl::StatusOr<UniqueFd> waits = handover_internal::ConnectSocket(Path() + ".files");
  EXPECT_EQ(FileTaker::Connect(Path()), nullptr);
}

TEST_F(HandoverTest, WithoutDescriptorsPeersWaitAndNoProcessorIsKeptBusy) {
  const std::unique_ptr<FileGiver> giver = Listen(0600);
  ASSERT_NE(giver, nullptr);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = ::dup(0);
  ::close(next);
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(next) + 1;  // One more, which the peer has.
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const absl::StatusOr<UniqueFd> peer = handover_internal::ConnectSocket(Path() + ".files");
  const std::clock_t begin = std::clock();
  const absl::StatusOr<handover_internal::Packet> nothing = peer.ok() ? handover_internal::ReceivePacket(peer->get()) : peer.status();
  const double busy = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  CAIRN_ASSERT_OK(peer);
  EXPECT_THAT(nothing, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_LT(busy, 0.2);
  const absl::StatusOr<handover_internal::Packet> greeting = handover_internal::ReceivePacket(peer->get());
  CAIRN_ASSERT_OK(greeting);
  EXPECT_NE(giver->Find(greeting->bytes.substr(handover_internal::kGreeting.size())), nullptr);
}

TEST_F(HandoverTest, ASocketThatAKilledDaemonLeftIsReplacedAndAFileIsNot) {
  {
    const absl::StatusOr<UniqueFd> left = handover_internal::BindSocket(Path() + ".files");
    CAIRN_ASSERT_OK(left);
  }
  ASSERT_NE(Listen(0600), nullptr);
  EXPECT_FALSE(std::filesystem::exists(Path() + ".files"));
  std::ofstream(Path() + ".files") << "something of somebody's";
  EXPECT_THAT(FileGiver::Listen(Path(), 0600), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expected a socket")));
  EXPECT_TRUE(std::filesystem::exists(Path() + ".files"));
}

TEST_F(HandoverTest, ADaemonThatEndsLeavesTheSocketOfTheNextOne) {
  std::unique_ptr<FileGiver> first = Listen(0600);
  const std::unique_ptr<FileGiver> second = Listen(0600);
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  first.reset();
  EXPECT_NE(FileTaker::Connect(Path()), nullptr);
}

TEST_F(HandoverTest, APeerThatTakesNothingDoesNotBlockTheDaemon) {
  const std::unique_ptr<FileGiver> giver = Listen(0600);
  ASSERT_NE(giver, nullptr);
  const std::unique_ptr<FileTaker> taker = FileTaker::Connect(Path());
  ASSERT_NE(taker, nullptr);
  const std::shared_ptr<FilePeer> peer = giver->Find(taker->ticket());
  const UniqueFd file(MakeFile("a", "of a"));
  uint32_t given = 0;
  while (given < 1'000'000 && peer->Give(given, file.get())) ++given;
  EXPECT_LT(given, 1'000'000u);
  // What was given is there all the same.
  const absl::StatusOr<int> last = taker->File(given - 1);
  CAIRN_ASSERT_OK(last);
  EXPECT_EQ(ReadAll(*last), "of a");
}

TEST_F(HandoverTest, AFileThatIsNoneIsRefused) {
  const std::unique_ptr<FileGiver> giver = Listen(0600);
  ASSERT_NE(giver, nullptr);
  const std::unique_ptr<FileTaker> taker = FileTaker::Connect(Path());
  ASSERT_NE(taker, nullptr);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd reader(ends[0]), writer(ends[1]);
  ASSERT_TRUE(giver->Find(taker->ticket())->Give(0, reader.get()));
  EXPECT_THAT(taker->File(0), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("regular file")));
}

TEST_F(HandoverTest, ADaemonThatEndsIsNoticed) {
  std::unique_ptr<FileGiver> giver = Listen(0600);
  ASSERT_NE(giver, nullptr);
  const std::unique_ptr<FileTaker> taker = FileTaker::Connect(Path());
  ASSERT_NE(taker, nullptr);
  giver.reset();
  EXPECT_THAT(taker->File(0), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("closed")));
}

}  // namespace
}  // namespace cairn
