#include "server/app/socket_path.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fstream>

#include "common/io/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

class SocketPathTest : public ::testing::Test {
 protected:
  // A socket of our own at `path`.
  UniqueFd Bind(const std::string& path) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  static auto Refused(const std::string& why) {
    return StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(why));
  }

  testing::TempDir folder_;
  const std::string path_ = folder_ / "cairnd.sock";
};

TEST_F(SocketPathTest, WhereNothingIsASocketMayBeMade) {
  CAIRN_EXPECT_OK(CheckSocketPath(path_));
  CAIRN_EXPECT_OK(CheckSocketPath("relative.sock"));
}

TEST_F(SocketPathTest, ASocketThatNobodyServesMayBeReplaced) {
  Bind(path_);
  CAIRN_EXPECT_OK(CheckSocketPath(path_));
}

TEST_F(SocketPathTest, ASocketThatIsServedIsNotTakenAway) {
  const UniqueFd fd = Bind(path_);
  ASSERT_EQ(::listen(fd.get(), 0), 0);
  // The second and third find its queue full.
  for (int i = 0; i < 3; ++i) EXPECT_THAT(CheckSocketPath(path_), Refused("another process serves there"));
}

TEST_F(SocketPathTest, NothingButASocketIsReplaced) {
  EXPECT_THAT(CheckSocketPath(folder_.path()), Refused("found a folder"));
  std::ofstream(folder_ / "file") << "x";
  EXPECT_THAT(CheckSocketPath(folder_ / "file"), Refused("found a file"));
  ASSERT_EQ(::symlink("file", (folder_ / "link").c_str()), 0);
  EXPECT_THAT(CheckSocketPath(folder_ / "link"), Refused("found a link"));
}

TEST_F(SocketPathTest, AMissingFolderIsNamed) {
  EXPECT_THAT(CheckSocketPath(folder_ / "none/cairnd.sock"), Refused(folder_ / "none; make it first"));
  std::ofstream(folder_ / "file") << "x";
  EXPECT_THAT(CheckSocketPath(folder_ / "file/cairnd.sock"), Refused("there is no folder"));
}

}  // namespace
}  // namespace cairn
