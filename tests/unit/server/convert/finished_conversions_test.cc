#include "server/convert/finished_conversions.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace cairn {
namespace {

ConvertResult Named(const std::string& name, size_t bytes = 0) {
  ConvertResult result;
  result.map = name;
  result.map_dropped = {std::string(bytes, 'x')};
  return result;
}

TEST(FinishedConversionsTest, AnAnswerIsForTheSameQuestionAndTheSameFiles) {
  FinishedConversions finished;
  finished.Add("key a", "state", Named("a"));
  finished.Add("key b", "state", Named("b"));
  EXPECT_EQ(finished.Find("key a", "state")->map, "a");
  EXPECT_EQ(finished.Find("key b", "state")->map, "b");
  EXPECT_FALSE(finished.Find("key a", "another state").has_value());
  EXPECT_FALSE(finished.Find("key", " astate").has_value());
  // The latest of a question that was asked again.
  finished.Add("key a", "state", Named("anew"));
  EXPECT_EQ(finished.Find("key a", "state")->map, "anew");
}

TEST(FinishedConversionsTest, TheOldestMakesRoom) {
  FinishedConversions finished;
  for (size_t i = 0; i <= FinishedConversions::kMost; ++i) finished.Add(absl::StrCat(i), "state", Named("x"));
  EXPECT_FALSE(finished.Find("0", "state").has_value());
  EXPECT_TRUE(finished.Find("1", "state").has_value());
}

TEST(FinishedConversionsTest, LongAnswersAreBoundedTogetherAndOneThatIsTooLongIsNotKept) {
  FinishedConversions finished;
  finished.Add("first", "state", Named("x", FinishedConversions::kMostBytes / 2));
  finished.Add("second", "state", Named("x", FinishedConversions::kMostBytes / 3));
  finished.Add("small", "state", Named("x"));
  finished.Add("huge", "state", Named("x", FinishedConversions::kMostBytes));
  for (const char* const kept : {"first", "second", "small"}) EXPECT_TRUE(finished.Find(kept, "state").has_value()) << kept;
  EXPECT_FALSE(finished.Find("huge", "state").has_value());
  finished.Add("third", "state", Named("x", FinishedConversions::kMostBytes / 3));
  EXPECT_FALSE(finished.Find("first", "state").has_value());
  for (const char* const kept : {"second", "small", "third"}) EXPECT_TRUE(finished.Find(kept, "state").has_value()) << kept;
}

}  // namespace
}  // namespace cairn
