#include "common/convert/train_state.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace cairn {
namespace {

CheckpointIndex IndexOf(const std::vector<std::vector<std::string>>& paths) {
  CheckpointIndex index;
  for (const std::vector<std::string>& path : paths) {
    index.entries.push_back(Entry::Tensor(KeyPath::Of(path), Dtype::kFloat32, {1}, 4));
  }
  return index;
}

TEST(ParamsOfTrainState, AreTwoLevelsDownInEasyLm) {
  const CheckpointIndex index = IndexOf({{"params", "params", "w"}, {"opt_state", "mu"}});
  EXPECT_EQ(ParamsOfTrainState(index), KeyPath::Of({"params", "params"}));
}

TEST(ParamsOfTrainState, AreOneLevelDownInFlax) {
  const CheckpointIndex index = IndexOf({{"params", "w"}, {"opt_state", "mu"}});
  EXPECT_EQ(ParamsOfTrainState(index), KeyPath::Of({"params"}));
}

TEST(ParamsOfTrainState, AreNowhereInWhatHasNothingBesideThem) {
  EXPECT_EQ(ParamsOfTrainState(IndexOf({{"params", "w"}})), std::nullopt);
  EXPECT_EQ(ParamsOfTrainState(IndexOf({{"w"}})), std::nullopt);
}

TEST(ParamsOfTrainState, AssetsAreNothingBesideThem) {
  CheckpointIndex index = IndexOf({{"params", "w"}});
  index.entries.push_back(Entry::Asset(KeyPath::Of({"config.json"}), 2));
  EXPECT_EQ(ParamsOfTrainState(index), std::nullopt);
}

}  // namespace
}  // namespace cairn
