#include "server/app/logging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "server/app/utf8.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr LogLevel kInfo = LogLevel::kInfo;
const absl::Time kTime = absl::FromUnixMillis(1'700'000'000'123);

std::string Text(absl::string_view message, std::vector<LogField> fields = {}) {
  return FormatLogLine(LogFormat::kText, kTime, kInfo, message, fields);
}
std::string Json(absl::string_view message, std::vector<LogField> fields = {}) {
  return FormatLogLine(LogFormat::kJson, kTime, kInfo, message, fields);
}

TEST(TextLog, IsReadable) {
  EXPECT_EQ(
      Text("checkpoint committed",
           {{"ref", "team/run@100"}, {"bytes", uint64_t{4096}}, {"took", 0.1}, {"new", true}}),
      "2023-11-14T22:13:20.123Z INFO    checkpoint committed ref=team/run@100 bytes=4096 took=0.1 new=true");
}

TEST(TextLog, QuotesValuesThatCouldBeReadAsSeveral) {
  EXPECT_THAT(Text("m", {{"path", "/a b"}}), HasSubstr(" path=\"/a b\""));
  EXPECT_THAT(Text("m", {{"path", "x=1"}}), HasSubstr(" path=\"x=1\""));
  EXPECT_THAT(Text("m", {{"path", ""}}), HasSubstr(" path=\"\""));
  EXPECT_THAT(Text("m", {{"path", "\"\\"}}), HasSubstr(R"( path="\"\\")"));
}

TEST(JsonLog, HasTimeLevelMessageAndFieldsOfTheirTypes) {
  EXPECT_EQ(Json("done", {{"ref", "a@1"},
                          {"n", int64_t{-5}},
                          {"big", uint64_t{18446744073709551615u}},
                          {"ok", false},
                          {"f", 1e300}}),
            R"({"time":"2023-11-14T22:13:20.123Z","level":"info","msg":"done","ref":"a@1","n":-5,)"
            R"("big":18446744073709551615,"ok":false,"f":1e+300})");
}

TEST(JsonLog, StaysJsonWhateverTheNumbers) {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto json = nlohmann::json::parse(
      Json("m", {{"a", infinity}, {"b", -infinity}, {"c", std::nan("")}, {"d", 1e-320}}));
  EXPECT_EQ(json["a"], "inf");
  EXPECT_EQ(json["b"], "-inf");
  EXPECT_EQ(json["c"], "nan");
  EXPECT_EQ(json["d"], 1e-320);
}

TEST(JsonLog, NeverHasAKeyTwice) {
  EXPECT_THAT(Json("m", {{"msg", "x"}, {"k", "1"}, {"k", "2"}, {"k_", "3"}}),
              HasSubstr(R"("msg":"m","msg_":"x","k":"1","k_":"2","k__":"3"})"));
}

// All bytes, alone and in pairs of interest, as message, key and value.
TEST(LogLine, IsOneLineOfUtf8WhateverTheBytes) {
  std::vector<std::string> hostile = {"\r\nFAKE",
                                      "\x1b[31mred",
                                      std::string("nul\0byte", 8),
                                      "\xc2\x85next",
                                      "\xc2\x9b",
                                      "\xe2\x80\xa8line",
                                      "\xc0\x8a",
                                      "\xed\xa0\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xe2\x82",
                                      "tail\xf0\x9f\x98",
                                      "\"},{\"",
                                      "\\"};
  for (int byte = 0; byte < 256; ++byte) hostile.push_back({static_cast<char>(byte)});
  for (const std::string& bytes : hostile) {
    const std::string text = Text(bytes, {{bytes, bytes}});
    const std::string json = Json(bytes, {{bytes, bytes}});
    EXPECT_TRUE(IsPrintableUtf8(text)) << text;
    EXPECT_TRUE(IsPrintableUtf8(json)) << json;
    EXPECT_TRUE(nlohmann::json::accept(json)) << json;
    if (IsPrintableUtf8(bytes)) {
      EXPECT_EQ(nlohmann::json::parse(json)["msg"], bytes);
    }
  }
}

TEST(Utf8, TellsWellFormedFromNot) {
  for (const char* good : {"", "ascii ~", "\xc2\xa0", "\xdf\xbf", "\xe0\xa0\x80", "\xee\x80\x80",
                           "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "größe"}) {
    EXPECT_TRUE(IsPrintableUtf8(good)) << good;
    EXPECT_EQ(OneLine(good), good);
  }
  for (const char* bad : {"\xc2\x9b", "\xe2\x80\xa8", "\xe2\x80\xa9", "\x7f", "\x1b", "\xe0\x80\x8a",
                          "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xc1\xbf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\xf5\x80\x80\x80", "\x80", "\xc2", "\xc2 "}) {
    EXPECT_FALSE(IsPrintableUtf8(bad)) << OneLine(bad);
    EXPECT_NE(OneLine(bad), bad);
  }
  EXPECT_EQ(OneLine("\xe2\x80\xa8"), "\\u2028");
  EXPECT_EQ(OneLine("a\xff"
                    "b\xe2\x82"),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(OneLine("\t\n\r\x01"), "\\t\\n\\r\\u0001");
}

std::vector<std::string> Logged(const std::function<void()>& body) {
  ::testing::internal::CaptureStderr();
  body();
  return absl::StrSplit(::testing::internal::GetCapturedStderr(), '\n', absl::SkipEmpty());
}

TEST(Log, PrintsFromItsLevelOn) {
  const auto all_levels = [] {
    for (LogLevel level : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError})
      Log(level, "x");
  };
  StartLogging(LogLevel::kWarning, LogFormat::kText);
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_THAT(Logged(all_levels), ElementsAre(HasSubstr(" WARNING x"), HasSubstr(" ERROR   x")));
  StartLogging(LogLevel::kDebug, LogFormat::kText);
  EXPECT_EQ(Logged(all_levels).size(), 4u);
}

TEST(Log, StampsEachLineWithTheTime) {
  StartLogging(LogLevel::kInfo, LogFormat::kJson);
  const absl::Time before = absl::Now() - absl::Milliseconds(1);
  const std::vector<std::string> lines = Logged([] { Log(LogLevel::kInfo, "{} %s %v", {{"key", "value"}}); });
  ASSERT_EQ(lines.size(), 1u);
  const auto json = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(json["msg"], "{} %s %v") << "messages are no format strings";
  absl::Time time;
  std::string error;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, json["time"].get<std::string>(), &time, &error)) << error;
  EXPECT_GE(time, before);
  EXPECT_LE(time, absl::Now());
}

TEST(Log, KeepsLinesOfSeveralThreadsApart) {
  StartLogging(LogLevel::kInfo, LogFormat::kJson);
  const std::string long_text(5000, 'x');
  const std::vector<std::string> lines = Logged([&] {
    std::vector<std::thread> threads;
    for (int64_t i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (int n = 0; n < 50; ++n) Log(LogLevel::kInfo, long_text, {{"thread", i}});
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  EXPECT_EQ(lines.size(), 200u);
  for (const std::string& line : lines) EXPECT_TRUE(nlohmann::json::accept(line)) << line;
}

}  // namespace
}  // namespace cairn
