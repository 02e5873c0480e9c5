#include "server/convert/index_memory.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kJob = 24 * kMiB;

TEST(IndexMemory, CountsEntriesAndWhatTheirValuesHold) {
  CheckpointIndex index;
  index.entries.push_back(Entry::Tensor(KeyPath::Of({"w"}), Dtype::kInt8, {4}, 4));
  const uint64_t one = IndexMemory(index);
  Value list;
  list.kind = Value::Kind::kList;
  list.items.assign(1000, Value::String(std::string(100, 'a')));
  index.entries.push_back(Entry::OfValue(KeyPath::Of({"v"}), list));
  EXPECT_EQ(one, kEntryMemory);
  EXPECT_GE(IndexMemory(index), 2 * one + 1000 * 100);
}

TEST(OpenWithinBudget, OpensWhatIsSmallOnceWithinLittleMemory) {
  ByteBudget budget(96 * kMiB);
  int calls = 0;
  const auto memory = OpenWithinBudget(budget, kJob, 1, {}, [&](const ReadLimits& limits) -> absl::StatusOr<uint64_t> {
    ++calls;
    EXPECT_EQ(budget.in_use(), kJob + 8 * kMiB);
    EXPECT_EQ(limits.max_entries, 8192u);
    EXPECT_EQ(limits.max_tree_bytes, 8 * kMiB);
    return kEntryMemory;
  });
  CAIRN_EXPECT_OK(memory.status());
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(budget.in_use(), kJob + 8 * kMiB);
}

// Also where a limit is what the reader calls it: damage.
TEST(OpenWithinBudget, OpensAgainWithinMoreUntilItDoes) {
  ByteBudget budget(1024 * kMiB);
  std::vector<uint64_t> entries;
  const auto memory = OpenWithinBudget(budget, kJob, 2, {}, [&](const ReadLimits& limits) -> absl::StatusOr<uint64_t> {
    entries.push_back(limits.max_entries);
    if (entries.size() == 1) return absl::InvalidArgumentError("more entries than the limit");
    if (entries.size() == 2) return 65 * kMiB;
    return 65 * kMiB;
  });
  CAIRN_EXPECT_OK(memory.status());
  EXPECT_THAT(entries, ElementsAre(4096, 32768, 262144));
  EXPECT_EQ(budget.in_use(), kJob + 512 * kMiB);
}

TEST(OpenWithinBudget, GivesALargeIndexAllOfASmallBudget) {
  ByteBudget budget(96 * kMiB);
  const auto memory = OpenWithinBudget(budget, kJob, 1, {}, [&](const ReadLimits&) -> absl::StatusOr<uint64_t> { return 200 * kMiB; });
  CAIRN_EXPECT_OK(memory.status());
  EXPECT_EQ(budget.in_use(), budget.limit());
}

TEST(OpenWithinBudget, ReportsAtOnceWhatNoLimitCanBe) {
  ByteBudget budget(96 * kMiB);
  int calls = 0;
  const auto memory = OpenWithinBudget(budget, kJob, 1, {}, [&](const ReadLimits&) -> absl::StatusOr<uint64_t> {
    ++calls;
    return absl::NotFoundError("no such file");
  });
  EXPECT_THAT(memory.status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no such file")));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(budget.in_use(), 0u);
}

TEST(OpenWithinBudget, SaysWhereALimitComesFrom) {
  ByteBudget budget(96 * kMiB);
  const auto damaged = OpenWithinBudget(budget, kJob, 1, {}, [&](const ReadLimits&) -> absl::StatusOr<uint64_t> {
    return absl::InvalidArgumentError("no header");
  });
  EXPECT_THAT(damaged.status(), StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr("memory_budget"))));
  const auto limited = OpenWithinBudget(budget, kJob, 1, {}, [&](const ReadLimits& limits) -> absl::StatusOr<uint64_t> {
    EXPECT_LE(limits.max_entries, 512u * 1024);
    return absl::InvalidArgumentError("more entries than the limit");
  });
  EXPECT_THAT(limited.status(), StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("the limit"), HasSubstr("memory_budget"))));
  const auto large = OpenWithinBudget(budget, kJob, 1, {}, [&](const ReadLimits&) -> absl::StatusOr<uint64_t> { return 513 * kMiB; });
  EXPECT_THAT(large.status(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("larger memory_budget")));
  EXPECT_EQ(budget.in_use(), 0u);
}

TEST(OpenWithinBudget, OpensNothingForACallThatHasEnded) {
  ByteBudget budget(96 * kMiB);
  const Cancellation cancellation;
  cancellation.Cancel();
  const auto memory = OpenWithinBudget(budget, kJob, 1, cancellation, [&](const ReadLimits&) -> absl::StatusOr<uint64_t> {
    ADD_FAILURE() << "opened";
    return 0;
  });
  EXPECT_THAT(memory.status(), StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace cairn
