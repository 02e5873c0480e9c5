#pragma once

// Matchers for absl::Status and absl::StatusOr: EXPECT_THAT(x, IsOk()), EXPECT_THAT(x, StatusIs(code, HasSubstr(..))).

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cairn::testing {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status) {
  return status.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

MATCHER_P(StatusIs, code, std::string("has code ") + absl::StatusCodeToString(code)) {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code;
}

MATCHER_P2(StatusIs, code, message, std::string("has code ") + absl::StatusCodeToString(code) + " and a fitting message") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).code() == code &&
         ::testing::ExplainMatchResult(message, std::string(StatusOf(arg).message()), result_listener);
}

}  // namespace cairn::testing

#define CAIRN_ASSERT_OK(expr) ASSERT_THAT((expr), ::cairn::testing::IsOk())
#define CAIRN_EXPECT_OK(expr) EXPECT_THAT((expr), ::cairn::testing::IsOk())

#define CAIRN_TEST_CONCAT_INNER(a, b) a##b
#define CAIRN_TEST_CONCAT(a, b) CAIRN_TEST_CONCAT_INNER(a, b)
// Declares `lhs` with the value of a StatusOr, or ends the test.
#define CAIRN_ASSERT_OK_AND_ASSIGN(lhs, expr)                                                     \
  auto CAIRN_TEST_CONCAT(statusor_, __LINE__) = (expr);                                           \
  ASSERT_TRUE(CAIRN_TEST_CONCAT(statusor_, __LINE__).ok()) << CAIRN_TEST_CONCAT(statusor_, __LINE__).status(); \
  lhs = std::move(CAIRN_TEST_CONCAT(statusor_, __LINE__)).value()
