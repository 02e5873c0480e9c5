#include "server/app/library_logs.h"

#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "server/app/logging.h"

namespace cairn {
namespace {

using ::testing::StartsWith;

std::vector<nlohmann::json> Logged(const std::function<void()>& body) {
  StartLogging(LogLevel::kInfo, LogFormat::kJson);
  RouteLibraryLogs();
  ::testing::internal::CaptureStderr();
  body();
  std::vector<nlohmann::json> lines;
  const std::vector<std::string> printed =
      absl::StrSplit(::testing::internal::GetCapturedStderr(), '\n', absl::SkipEmpty());
  for (const std::string& line : printed) {
    EXPECT_TRUE(nlohmann::json::accept(line)) << line;
    lines.push_back(nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false));
  }
  return lines;
}

TEST(LibraryLogs, WhatGrpcPrintsIsALineOfTheDaemonsLog) {
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);  // grpc_init() would do so.
  const auto lines = Logged([] { gpr_log(GPR_ERROR, "two lines,\n\"quoted\"\n"); });
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["level"], "error");
  EXPECT_EQ(lines[0]["msg"], "grpc");
  EXPECT_EQ(lines[0]["detail"], "two lines,\n\"quoted\"");
  EXPECT_THAT(lines[0]["source"].get<std::string>(), StartsWith("library_logs_test.cc:"));
}

TEST(LibraryLogs, WhatProtobufPrintsIsALineOfTheDaemonsLog) {
  const auto lines = Logged([] { GOOGLE_LOG(WARNING) << "not UTF-8: \xff"; });
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["level"], "warning");
  EXPECT_EQ(lines[0]["msg"], "protobuf");
  EXPECT_EQ(lines[0]["detail"], "not UTF-8: \xef\xbf\xbd");
}

}  // namespace
}  // namespace cairn
