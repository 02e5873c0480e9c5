#include "server/convert/index_memory.h"

#include <functional>
#include <utility>
#include <vector>

#include "absl/strings/cord.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kWindows = 24 * kMiB;

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

class FakeSources final : public JobSources {
 public:
  explicit FakeSources(std::function<absl::StatusOr<uint64_t>(const ReadLimits&)> open, int count = 1) : open_(std::move(open)), count_(count) {}

  int count() const override { return count_; }
  absl::StatusOr<uint64_t> Open(const ReadLimits& limits) override {
    limits_.push_back(limits);
    EXPECT_FALSE(std::exchange(is_open_, true));
    return open_(limits);
  }
  void Close() override { is_open_ = false; }

  std::vector<uint64_t> entries() const {
    std::vector<uint64_t> entries;
    for (const ReadLimits& limits : limits_) entries.push_back(limits.max_entries);
    return entries;
  }
  const std::vector<ReadLimits>& limits() const { return limits_; }
  bool is_open() const { return is_open_; }

 private:
  const std::function<absl::StatusOr<uint64_t>(const ReadLimits&)> open_;
  const int count_;
  std::vector<ReadLimits> limits_;
  bool is_open_ = false;
};

class OpenWithinBudgetTest : public ::testing::Test {
 protected:
  absl::StatusOr<JobMemory> Open(FakeSources& sources) { return OpenWithinBudget({windows_, indices_}, kWindows, cancellation_, sources); }

  ByteBudget windows_{96 * kMiB}, indices_{128 * kMiB};
  const Cancellation cancellation_;
};

TEST_F(OpenWithinBudgetTest, OpensWhatIsSmallOnceWithinLittleMemory) {
  FakeSources sources([&](const ReadLimits&) -> absl::StatusOr<uint64_t> {
    EXPECT_EQ(windows_.in_use(), kWindows + 8 * kMiB);
    return kEntryMemory;
  });
  {
    const absl::StatusOr<JobMemory> memory = Open(sources);
    CAIRN_EXPECT_OK(memory.status());
    EXPECT_TRUE(sources.is_open());
    EXPECT_THAT(sources.entries(), ElementsAre(8192));
    EXPECT_EQ(sources.limits()[0].max_tree_bytes, 8 * kMiB);
    EXPECT_EQ(windows_.in_use(), kWindows + 8 * kMiB);
    EXPECT_EQ(indices_.in_use(), 0u);
  }
  EXPECT_EQ(windows_.in_use(), 0u);
}

// Limits of values decide what becomes of them: they must not differ from those of the command line.
TEST_F(OpenWithinBudgetTest, LeavesTheLimitsOfSingleThingsAsTheyAre) {
  FakeSources sources([](const ReadLimits&) -> absl::StatusOr<uint64_t> { return 1; });
  CAIRN_EXPECT_OK(Open(sources).status());
  const ReadLimits usual;
  EXPECT_EQ(sources.limits()[0].max_value_bytes, usual.max_value_bytes);
  EXPECT_EQ(sources.limits()[0].max_name_bytes, usual.max_name_bytes);
  EXPECT_EQ(sources.limits()[0].max_depth, usual.max_depth);
}

TEST_F(OpenWithinBudgetTest, OpensAgainWithinMoreUntilItDoesAndKeepsWhatIsNeeded) {
  FakeSources sources(
      [&](const ReadLimits& limits) -> absl::StatusOr<uint64_t> {
        // Each time but the first, whoever only saves finds as much as before.
        EXPECT_LE(windows_.in_use(), kWindows + 8 * kMiB);
        if (limits.max_entries < 32768) return absl::InvalidArgumentError("more entries than the limit of 4096");
        return 65 * kMiB;
      },
      2);
  const absl::StatusOr<JobMemory> memory = Open(sources);
  CAIRN_EXPECT_OK(memory.status());
  EXPECT_THAT(sources.entries(), ElementsAre(4096, 32768, 524288));
  EXPECT_EQ(windows_.in_use(), kWindows);
  EXPECT_EQ(indices_.in_use(), 65 * kMiB);
}

TEST_F(OpenWithinBudgetTest, ALargeJobTakesNothingFromThoseWhoSave) {
  FakeSources large([&](const ReadLimits&) -> absl::StatusOr<uint64_t> { return 500 * kMiB; });
  const absl::StatusOr<JobMemory> memory = Open(large);
  CAIRN_EXPECT_OK(memory.status());
  EXPECT_EQ(indices_.in_use(), indices_.limit());
  EXPECT_EQ(windows_.TryAcquire(96 * kMiB - kWindows).bytes(), 96 * kMiB - kWindows);
  // Nor from small jobs.
  FakeSources small([&](const ReadLimits&) -> absl::StatusOr<uint64_t> { return 1; });
  CAIRN_EXPECT_OK(Open(small).status());
}

TEST_F(OpenWithinBudgetTest, ReportsAtOnceWhatNoLimitCanBe) {
  for (const absl::Status& error : {absl::NotFoundError("no such file"), absl::InvalidArgumentError("no known format"), absl::DataLossError("the limit")}) {
    FakeSources sources([&](const ReadLimits&) -> absl::StatusOr<uint64_t> { return error; });
    EXPECT_EQ(Open(sources).status(), error);
    EXPECT_EQ(sources.limits().size(), 1u);
    EXPECT_FALSE(sources.is_open());
    EXPECT_EQ(windows_.in_use(), 0u);
  }
}

TEST_F(OpenWithinBudgetTest, SaysWhatToDoAboutALimit) {
  FakeSources sources([&](const ReadLimits&) -> absl::StatusOr<uint64_t> {
    absl::Status limit = absl::InvalidArgumentError("more entries than the limit");
    limit.SetPayload("entry", absl::Cord("w"));
    return limit;
  });
  const absl::Status status = Open(sources).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("the limit"), HasSubstr("memory_budget"))));
  EXPECT_TRUE(status.GetPayload("entry").has_value());
  EXPECT_THAT(sources.entries(), ElementsAre(8192, 65536, 524288));
  FakeSources large([&](const ReadLimits&) -> absl::StatusOr<uint64_t> { return 513 * kMiB; });
  EXPECT_THAT(Open(large).status(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("larger memory_budget")));
  EXPECT_FALSE(large.is_open());
  EXPECT_EQ(windows_.in_use(), 0u);
  EXPECT_EQ(indices_.in_use(), 0u);
}

TEST_F(OpenWithinBudgetTest, OpensNothingForACallThatHasEnded) {
  cancellation_.Cancel();
  FakeSources sources([](const ReadLimits&) -> absl::StatusOr<uint64_t> { return 0; });
  EXPECT_THAT(Open(sources).status(), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(sources.limits().empty());
}

}  // namespace
}  // namespace cairn
