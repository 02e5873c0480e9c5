#include "client/cli/progress.h"

#include <algorithm>
#include <sstream>
#include <string>

#include "client/cli/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"

namespace cairn::cli {
namespace {

using ::cairn::testing::FakeClock;
using progress_internal::RenderBar;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kGiB = 1u << 30;

ProgressMeter::Options Bar(int width = 80) {
  return {.mode = ProgressMeter::Mode::kBar, .utf8 = false, .terminal_width = [width] { return width; }};
}

TEST(RenderBar, ShowsShareBytesRateAndTimeLeft) {
  EXPECT_EQ(RenderBar("push a@1", {5 * kGiB, 10 * kGiB}, 512.0 * (1 << 20), 90, false),
            "push a@1  [#############..............]   50%  5.0 GiB of 10.0 GiB  512.0 MiB/s  0:10 left");
}

TEST(RenderBar, NeverExceedsTheTerminal) {
  for (int width = 10; width < 200; ++width) {
    for (const bool utf8 : {false, true}) {
      const std::string line =
          RenderBar("pull モデル/run@100000 to somewhere", {3 * kGiB, 10 * kGiB}, 1e8, width, utf8);
      EXPECT_LE(DisplayWidth(line), width) << line;
      EXPECT_THAT(line, HasSubstr("30%"));
    }
  }
}

TEST(RenderBar, ShowsPartsOfAColumnInUtf8) {
  EXPECT_THAT(RenderBar("", {1, 16}, 0, 60, true), HasSubstr("█"));
  EXPECT_THAT(RenderBar("", {1, 64}, 0, 60, true), HasSubstr("▏"));
}

TEST(RenderBar, StandsAnUnknownTotalAndTooManyBytes) {
  EXPECT_THAT(RenderBar("x", {0, 0}, 0, 60, false), HasSubstr("0%"));
  EXPECT_THAT(RenderBar("x", {20, 10}, 5, 60, false), HasSubstr("100%"));
}

TEST(ProgressMeter, RedrawsAtMostTenTimesASecond) {
  FakeClock clock;
  std::ostringstream err;
  ProgressMeter meter("x", Bar(), err, clock);
  for (int i = 0; i < 1000; ++i) {
    clock.Advance(absl::Milliseconds(1));
    meter.Update({static_cast<uint64_t>(i), 1000});
  }
  const std::string text = err.str();
  EXPECT_LE(std::count(text.begin(), text.end(), '\r'), 10);
  EXPECT_GE(std::count(text.begin(), text.end(), '\r'), 9);
}

TEST(ProgressMeter, LeavesNothingOnTheScreen) {
  FakeClock clock;
  std::ostringstream err;
  {
    ProgressMeter meter("x", Bar(), err, clock);
    clock.Advance(absl::Seconds(1));
    meter.Update({1, 2});
  }
  EXPECT_TRUE(err.str().ends_with("\r\x1b[K"));
}

TEST(ProgressMeter, LeavesSkippedBytesOutOfTheRate) {
  FakeClock clock;
  std::ostringstream err;
  ProgressMeter meter("x", Bar(), err, clock);
  clock.Advance(absl::Seconds(1));
  meter.Update({.done = 9 * kGiB, .total = 10 * kGiB, .skipped = 9 * kGiB});
  clock.Advance(absl::Seconds(1));
  meter.Update({.done = 9 * kGiB + (100u << 20), .total = 10 * kGiB, .skipped = 9 * kGiB});
  EXPECT_THAT(err.str(), HasSubstr("50.0 MiB/s"));
}

TEST(ProgressMeter, ForgetsHowFastItOnceWas) {
  FakeClock clock;
  std::ostringstream err;
  ProgressMeter meter("x", Bar(), err, clock);
  uint64_t done = 0;
  for (int i = 0; i < 5; ++i) {
    clock.Advance(absl::Seconds(1));
    meter.Update({done += 1u << 30, 100 * kGiB});
  }
  err.str("");
  for (int i = 0; i < 30; ++i) {
    clock.Advance(absl::Seconds(1));
    meter.Update({done += 1u << 20, 100 * kGiB});
  }
  EXPECT_THAT(err.str().substr(err.str().rfind('\r')), HasSubstr(" 1.0 MiB/s"));
}

TEST(ProgressMeter, WritesAPlainLineEveryFewSecondsWithoutATerminal) {
  FakeClock clock;
  std::ostringstream err;
  ProgressMeter meter("push a@1", {.mode = ProgressMeter::Mode::kLines}, err, clock);
  for (int i = 1; i <= 120; ++i) {
    clock.Advance(absl::Milliseconds(100));
    meter.Update({static_cast<uint64_t>(i) << 20, 240u << 20});
  }
  const std::string text = err.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_THAT(text, HasSubstr("cairn: push a@1: 20% (50.0 MiB of 240.0 MiB), 10.0 MiB/s, 0:19 left\n"));
  EXPECT_THAT(text, Not(HasSubstr("\r")));
}

TEST(ProgressMeter, IsSilentWhenOff) {
  FakeClock clock;
  std::ostringstream err;
  ProgressMeter meter("x", {}, err, clock);
  clock.Advance(absl::Minutes(1));
  meter.Update({1, 2});
  meter.Clear();
  EXPECT_EQ(err.str(), "");
}

}  // namespace
}  // namespace cairn::cli
