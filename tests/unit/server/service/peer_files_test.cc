#include "server/service/peer_files.h"

#include <fcntl.h>

#include <memory>

#include "common/handover/file_taker.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn {
namespace {

TEST(PeerFilesTest, ALoadHoldsNoMoreThanSomeDescriptorsOfItsCaller) {
  const testing::TempDir dir;
  const std::string path = dir.path() + "/s";
  absl::StatusOr<std::unique_ptr<FileGiver>> giver = FileGiver::Listen(path, 0600);
  CAIRN_ASSERT_OK(giver);
  const std::unique_ptr<FileTaker> taker = FileTaker::Connect(path);
  ASSERT_NE(taker, nullptr);
  const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  PeerFiles files((*giver)->Find(taker->ticket()));
  for (uint32_t i = 0; i < PeerFiles::kMaxFiles; ++i) EXPECT_TRUE(files.Give(i, file.get()));
  EXPECT_FALSE(files.Give(PeerFiles::kMaxFiles, file.get()));
  CAIRN_EXPECT_OK(taker->File(PeerFiles::kMaxFiles - 1));
}

}  // namespace
}  // namespace cairn
