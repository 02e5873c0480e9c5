#include "common/tensor/checkpoint_index.h"

#include <limits>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::IsOk;
using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

Entry Tensor(KeyPath path) { return Entry::Tensor(std::move(path), Dtype::kFloat32, {2}, 8); }

Value Tuple(uint64_t length) {
  Value value;
  value.kind = Value::Kind::kTuple;
  value.length = length;
  return value;
}

CheckpointIndex Index(std::vector<Entry> entries) {
  CheckpointIndex index;
  index.entries = std::move(entries);
  return index;
}

TEST(CheckpointIndex, TakesAnyTree) {
  EXPECT_THAT(Index({}).Check(), IsOk());
  EXPECT_THAT(Index({Tensor(KeyPath())}).Check(), IsOk()) << "a checkpoint may be one tensor";
  EXPECT_THAT(Index({Tensor(KeyPath::Of({"b"})), Tensor(KeyPath::Of({"a", "c"})),
                     Tensor(KeyPath::Of({"a", "b"})), Entry::OfValue(KeyPath::Of({"step"}), Value::Int(3)),
                     Entry::Asset(KeyPath::Of({"config.json"}), 5),
                     Entry::Alias(KeyPath::Of({"tied"}), KeyPath::Of({"a", "c"}))})
                  .Check(),
              IsOk());
}

TEST(CheckpointIndex, AFlatNameIsNoParent) {
  EXPECT_THAT(
      Index({Tensor(KeyPath::Of({"a"})), Tensor(KeyPath::Of({"a/b"})), Tensor(KeyPath::Of({"a.b"}))}).Check(),
      IsOk());
}

TEST(CheckpointIndex, APositionAndAKeyOfTheSameDigitsAreTwoEntries) {
  EXPECT_THAT(Index({Tensor(KeyPath({"a", int64_t{1}})), Tensor(KeyPath::Of({"a", "1"}))}).Check(), IsOk());
}

TEST(CheckpointIndex, AContainerMarkMayStandAboveItsChildren) {
  EXPECT_THAT(
      Index({Tensor(KeyPath({"opt", int64_t{0}})), Entry::OfValue(KeyPath::Of({"opt"}), Tuple(1))}).Check(),
      IsOk());
}

TEST(CheckpointIndex, RefusesTwoEntriesOfOnePath) {
  EXPECT_THAT(
      Index({Tensor(KeyPath::Of({"a", "b"})), Tensor(KeyPath::Of({"c"})), Tensor(KeyPath::Of({"a", "b"}))})
          .Check(),
      StatusIs(kInvalid, HasSubstr("\"a/b\" appears twice")));
  EXPECT_THAT(Index({Tensor(KeyPath::Of({"a"})), Entry::OfValue(KeyPath::Of({"a"}), Value::Int(1))}).Check(),
              StatusIs(kInvalid));
  EXPECT_THAT(Index({Entry::Asset(KeyPath::Of({"a"}), 1), Entry::Asset(KeyPath::Of({"a"}), 1)}).Check(),
              StatusIs(kInvalid, HasSubstr("asset \"a\"")));
}

TEST(CheckpointIndex, AnAssetMayHaveTheNameOfATensor) {
  EXPECT_THAT(Index({Tensor(KeyPath::Of({"a"})), Entry::Asset(KeyPath::Of({"a"}), 1),
                     Tensor(KeyPath::Of({"b"})), Entry::Asset(KeyPath::Of({"b", "c"}), 1)})
                  .Check(),
              IsOk());
}

TEST(CheckpointIndex, RefusesATensorThatIsAParentToo) {
  EXPECT_THAT(Index({Tensor(KeyPath::Of({"a", "b", "c"})), Tensor(KeyPath::Of({"a", "x"})),
                     Tensor(KeyPath::Of({"a"}))})
                  .Check(),
              StatusIs(kInvalid, HasSubstr("\"a\" cannot be the parent of")));
  EXPECT_THAT(Index({Tensor(KeyPath()), Tensor(KeyPath::Of({"a"}))}).Check(), StatusIs(kInvalid));
  EXPECT_THAT(
      Index({Entry::OfValue(KeyPath::Of({"a"}), Value::Int(1)), Tensor(KeyPath::Of({"a", "b"}))}).Check(),
      StatusIs(kInvalid));
  EXPECT_THAT(Index({Entry::Asset(KeyPath::Of({"a"}), 1), Entry::Asset(KeyPath::Of({"a", "b"}), 1)}).Check(),
              StatusIs(kInvalid));
}

TEST(CheckpointIndex, FindsTheParentAmongItsManyRelatives) {
  std::vector<Entry> entries = {Tensor(KeyPath::Of({"a"}))};
  for (char c = 'b'; c < 'z'; ++c) entries.push_back(Tensor(KeyPath::Of({"a.b", std::string(1, c)})));
  EXPECT_THAT(Index(entries).Check(), IsOk());
  entries.push_back(Tensor(KeyPath({"a", int64_t{3}})));
  EXPECT_THAT(Index(entries).Check(), StatusIs(kInvalid));
}

TEST(CheckpointIndex, RefusesAnAliasOfWhatIsNoTensor) {
  const auto with_alias_of = [](KeyPath target) {
    return Index({Tensor(KeyPath::Of({"a"})), Entry::OfValue(KeyPath::Of({"v"}), Value::Int(1)),
                  Entry::Alias(KeyPath::Of({"x"}), KeyPath::Of({"a"})), Entry::Asset(KeyPath::Of({"f"}), 1),
                  Entry::Alias(KeyPath::Of({"y"}), std::move(target))})
        .Check();
  };
  EXPECT_THAT(with_alias_of(KeyPath::Of({"a"})), IsOk());
  for (const char* target : {"v", "x", "y", "f", "nothing"}) {
    EXPECT_THAT(with_alias_of(KeyPath::Of({target})), StatusIs(kInvalid, HasSubstr("alias \"y\""))) << target;
  }
}

TEST(CheckpointIndex, AddsUpTensorsAndAssetsWithoutWrapping) {
  EXPECT_EQ(Index({Tensor(KeyPath::Of({"a"})), Entry::Asset(KeyPath::Of({"f"}), 5),
                   Entry::OfValue(KeyPath::Of({"v"}), Value::Int(1))})
                .TotalBytes(),
            13u);
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(Index({Entry::Asset(KeyPath::Of({"f"}), kMax), Entry::Asset(KeyPath::Of({"g"}), 5)}).TotalBytes(),
            kMax);
}

}  // namespace
}  // namespace cairn
