#include "server/store/first_reads.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace cairn {
namespace {

constexpr uint64_t kMiB = 1u << 20;

TEST(FirstReads, APassFromFrontToBackIsTheFirst) {
  FirstReads reads;
  for (uint64_t at = 0; at < 64 * kMiB; at += kMiB) EXPECT_TRUE(reads.NoteRead("a", at, at + kMiB)) << at;
}

TEST(FirstReads, ThreadsThatReadSideBySideDoNotEndIt) {
  FirstReads reads;
  EXPECT_TRUE(reads.NoteRead("a", 3 * kMiB, 4 * kMiB));
  EXPECT_TRUE(reads.NoteRead("a", 0, kMiB));
  EXPECT_TRUE(reads.NoteRead("a", 4 * kMiB, 5 * kMiB));
}

TEST(FirstReads, ASecondPassIsNotItUpToItsEnd) {
  FirstReads reads;
  for (uint64_t at = 0; at < 64 * kMiB; at += kMiB) reads.NoteRead("a", at, at + kMiB);
  EXPECT_FALSE(reads.IsFirst("a", 0));
  for (uint64_t at = 0; at < 64 * kMiB; at += kMiB) EXPECT_FALSE(reads.NoteRead("a", at, at + kMiB)) << at;
  EXPECT_FALSE(reads.IsFirst("a", 63 * kMiB));
}

TEST(FirstReads, AskingChangesNothing) {
  FirstReads reads;
  reads.NoteRead("a", 0, 20 * kMiB);
  EXPECT_FALSE(reads.IsFirst("a", 0));
  EXPECT_TRUE(reads.IsFirst("a", 20 * kMiB));
  EXPECT_TRUE(reads.IsFirst("other", 0));
}

TEST(FirstReads, ForgottenObjectsAreNewAgain) {
  FirstReads reads;
  reads.NoteRead("a", 0, 20 * kMiB);
  reads.Forget("a");
  EXPECT_TRUE(reads.NoteRead("a", 0, kMiB));
}

TEST(FirstReads, RemembersABoundedNumberOfObjects) {
  FirstReads reads;
  for (size_t i = 0; i < FirstReads::kObjects; ++i) reads.NoteRead(absl::StrCat(i), 0, 20 * kMiB);
  EXPECT_FALSE(reads.IsFirst("0", 0));
  reads.NoteRead("one more", 0, kMiB);
  EXPECT_TRUE(reads.IsFirst("0", 0));
}

}  // namespace
}  // namespace cairn
