#include "tests/testing/faulty_object_store.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/memory_object_store.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

class FaultyObjectStoreTest : public ::testing::Test {
 protected:
  const std::shared_ptr<ObjectStore> inner_ = NewMemoryObjectStore();
  FaultyObjectStore store_{inner_};
};

TEST_F(FaultyObjectStoreTest, CountsTheCallsOfTheStoreAndOfItsWriters) {
  CAIRN_ASSERT_OK(PutObject(store_, "a", "bytes"));  // Create, Append, Seal.
  EXPECT_EQ(store_.calls(), 3);
  CAIRN_ASSERT_OK(GetObject(store_, "a", 100));  // Size, Read.
  CAIRN_ASSERT_OK(store_.List("", "", 1));
  CAIRN_ASSERT_OK(store_.Delete("a"));
  CAIRN_ASSERT_OK(store_.RemoveLeftovers());
  CAIRN_ASSERT_OK(store_.GetSpace());
  store_.Describe();
  EXPECT_EQ(store_.calls(), 9);
}

TEST_F(FaultyObjectStoreTest, FailsExactlyTheCallThatWasAskedFor) {
  for (int64_t call = 1; call <= 3; ++call) {
    store_.Arm({call, absl::UnavailableError("fault")});
    EXPECT_THAT(PutObject(store_, "a", "bytes"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("fault")))
        << call;
    EXPECT_EQ(store_.calls(), call);
    EXPECT_THAT(inner_->Size("a"), StatusIs(absl::StatusCode::kNotFound)) << call;
  }
  store_.Arm({4, absl::UnavailableError("fault")});
  CAIRN_EXPECT_OK(PutObject(store_, "a", "bytes"));
}

TEST_F(FaultyObjectStoreTest, LosesTheReplyOfWorkThatWasDone) {
  store_.Arm({3, absl::UnavailableError("lost"), /*after_work=*/true});
  EXPECT_THAT(PutObject(store_, "a", "bytes"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(GetObject(*inner_, "a", 100).value(), "bytes");

  store_.Arm({1, absl::UnavailableError("lost"), /*after_work=*/true});
  EXPECT_THAT(store_.Delete("a"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(inner_->Size("a"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FaultyObjectStoreTest, AWriterThatFailedStaysDead) {
  store_.Arm({2, absl::ResourceExhaustedError("full")});
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto writer, store_.Create("a", 0));
  EXPECT_THAT(writer->Append({Buffer::FromString("x")}), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(writer->Append({Buffer::FromString("x")}), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(writer->Seal(), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(inner_->Size("a"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace cairn::testing
