#include "server/store/open_file_cache.h"

#include <memory>

#include "gtest/gtest.h"

namespace cairn {
namespace {

std::shared_ptr<const OpenFile> File() { return std::make_shared<const OpenFile>(); }

TEST(OpenFileCache, ForgetsTheFileUsedLongestAgo) {
  OpenFileCache cache(2);
  cache.Insert("a", File(), 0);
  cache.Insert("b", File(), 0);
  EXPECT_NE(cache.Find("a").file, nullptr);
  cache.Insert("c", File(), 0);
  EXPECT_NE(cache.Find("a").file, nullptr);
  EXPECT_EQ(cache.Find("b").file, nullptr);
  EXPECT_NE(cache.Find("c").file, nullptr);
}

TEST(OpenFileCache, KeepsTheFirstOfTwoFilesOfAKey) {
  OpenFileCache cache(2);
  const auto first = File();
  cache.Insert("a", first, 0);
  cache.Insert("a", File(), 0);
  EXPECT_EQ(cache.Find("a").file, first);
}

TEST(OpenFileCache, AFileOpenedBeforeADeletionDoesNotComeBack) {
  OpenFileCache cache(2);
  const OpenFileCache::Found missed = cache.Find("a");
  // Here a reader opens the file, and before it comes to Insert() somebody deletes the object.
  cache.Erase("a");
  cache.Insert("a", File(), missed.epoch);
  EXPECT_EQ(cache.Find("a").file, nullptr);
  cache.Insert("a", File(), cache.Find("a").epoch);
  EXPECT_NE(cache.Find("a").file, nullptr);
}

TEST(OpenFileCache, AFileInUseOutlivesItsPlace) {
  OpenFileCache cache(1);
  cache.Insert("a", File(), 0);
  const auto held = cache.Find("a").file;
  cache.Erase("a");
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace cairn
