#include "common/io/slice_source.h"

#include "common/io/memory_io.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

TEST(SliceSource, IsThePartAndNothingElse) {
  const auto whole = std::make_shared<MemorySource>("0123456789", "digits");
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto slice, SliceSource::Create(whole, 3, 4));
  EXPECT_EQ(slice->size(), 4u);
  EXPECT_EQ(slice->name(), "digits");
  std::string bytes(4, '\0');
  CAIRN_ASSERT_OK(slice->ReadAt(0, absl::MakeSpan(bytes)));
  EXPECT_EQ(bytes, "3456");
  bytes.resize(2);
  CAIRN_ASSERT_OK(slice->ReadAt(2, absl::MakeSpan(bytes)));
  EXPECT_EQ(bytes, "56");
  CAIRN_EXPECT_OK(slice->ReadAt(4, {}));
  EXPECT_THAT(slice->ReadAt(3, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("digits")));
  EXPECT_THAT(slice->ReadAt(~uint64_t{0}, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST(SliceSource, RefusesWhatLeavesTheWhole) {
  const auto whole = std::make_shared<MemorySource>("0123456789", "digits");
  CAIRN_EXPECT_OK(SliceSource::Create(whole, 10, 0));
  EXPECT_THAT(SliceSource::Create(whole, 10, 1), StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("digits")));
  EXPECT_THAT(SliceSource::Create(whole, 11, 0), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(SliceSource::Create(whole, 5, ~uint64_t{0}), StatusIs(absl::StatusCode::kOutOfRange));
}

}  // namespace
}  // namespace cairn::testing
