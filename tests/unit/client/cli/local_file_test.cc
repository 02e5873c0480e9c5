#include "client/cli/local_file.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace cairn::cli {
namespace {

using testing::TempDir;

void Write(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

std::string Identity(const std::string& path) { return FileIdentity(path).value(); }

TEST(FileIdentity, OfAnIndexChangesWithTheShardsBesideIt) {
  TempDir dir;
  Write(dir / "model.safetensors.index.json", "\n {\"weight_map\": {}}");
  Write(dir / "model-00001-of-00001.safetensors", "one");
  const std::string before = Identity(dir / "model.safetensors.index.json");
  EXPECT_EQ(Identity(dir / "model.safetensors.index.json"), before);
  Write(dir / "model-00001-of-00001.safetensors", "three");
  EXPECT_NE(Identity(dir / "model.safetensors.index.json"), before);
}

TEST(FileIdentity, OfWeightsChangesWithTheModelsNumbersAndNothingElseBesideThem) {
  TempDir dir;
  Write(dir / "model.safetensors", "weights");
  const std::string before = Identity(dir / "model.safetensors");
  Write(dir / "log.json", "{}");
  EXPECT_EQ(Identity(dir / "model.safetensors"), before);
  Write(dir / "config.json", "{}");
  EXPECT_NE(Identity(dir / "model.safetensors"), before);
}

TEST(FileIdentity, ChangesWithBytesThatHaveTheSameLengthAndTimeAsBefore) {
  TempDir dir;
  const std::string path = dir / "model.safetensors";
  Write(path, "one");
  const auto written = std::filesystem::last_write_time(path);
  const std::string before = Identity(path);
  // The clock of a file system may stand for some milliseconds.
  std::string after = before;
  for (const absl::Time until = absl::Now() + absl::Seconds(10); after == before && absl::Now() < until;) {
    Write(path, "two");
    std::filesystem::last_write_time(path, written);
    after = Identity(path);
  }
  EXPECT_NE(after, before);
}

TEST(FileIdentity, OfAFolderKnowsItsFoldersButNotWhatAnInterruptedRunLeftThere) {
  TempDir dir;
  Write(dir / "optimizer/shard", "one");
  const std::string before = Identity(dir.path());
  Write(dir / ".out.cairn-tmp-resume/files/a", "x");
  Write(dir / ".a.cairn-tmp-1", "x");
  EXPECT_EQ(Identity(dir.path()), before);
  Write(dir / "optimizer/shard", "three");
  EXPECT_NE(Identity(dir.path()), before);
}

}  // namespace
}  // namespace cairn::cli
