#include "common/format/lightning/lightning_format.h"
#include "tests/attacks/lightning_attacks.h"
#include "tests/unit/common/format/lit_attacked.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

constexpr char kLoneName[] = "last.ckpt";
constexpr char kWeights[] = "lightning_weights";

LitAttack Named(const std::string& name) {
  const std::vector<LitAttack> attacks = LightningAttacks();
  return *std::find_if(attacks.begin(), attacks.end(), [&](const LitAttack& attack) { return attack.name == name; });
}

absl::Status ReadOf(const std::string& name, uint64_t max_entries, const std::string& variant) {
  return ReadLitAttack(LightningFormat(), Named(name), kLoneName, {.limits = {.max_entries = max_entries}, .variant = variant});
}

class LightningAttacked : public ::testing::TestWithParam<LitAttack> {};
class LightningWeightsAttacked : public ::testing::TestWithParam<LitAttack> {};

TEST_P(LightningAttacked, IsRefusedByNameAndAtOnce) { ExpectLitRefusal(LightningFormat(), GetParam(), kLoneName, ""); }
TEST_P(LightningWeightsAttacked, IsRefusedByNameAndAtOnce) { ExpectLitRefusal(LightningFormat(), GetParam(), kLoneName, kWeights); }

INSTANTIATE_TEST_SUITE_P(Lightning, LightningAttacked, ::testing::ValuesIn(LightningAttacks()), [](const auto& attack) { return attack.param.name; });
INSTANTIATE_TEST_SUITE_P(Lightning, LightningWeightsAttacked, ::testing::ValuesIn(LightningWeightsAttacks()),
                         [](const auto& attack) { return attack.param.name; });

TEST(LightningCutShort, AFileIsRefusedWhereverItEnds) {
  for (const char* const variant : {"", kWeights}) ExpectLitRefusalWhereverItEnds(LightningFormat(), Named("good"), kLoneName, variant);
}

TEST(LightningCutShort, AShardedFolderIsRefusedWhereverAFileEnds) {
  ExpectLitRefusalWhereverItEnds(LightningFormat(), Named("shards_good"), kLoneName, "");
}

TEST(LightningLimits, ShardsAndMetaAreCountedTogether) {
  // Two entries in the shards, two in meta.pt.
  CAIRN_EXPECT_OK(ReadOf("shards_good", 4, ""));
  EXPECT_THAT(ReadOf("shards_good", 3, ""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more entries than the limit of 3")));
  EXPECT_THAT(ReadOf("shards_good", 1, ""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more entries than the limit of 1")));
}

TEST(LightningLimits, OfWeightsAloneOnlyTheWeightsCount) {
  CAIRN_EXPECT_OK(ReadOf("good", 2, kWeights));
  EXPECT_THAT(ReadOf("good", 1, kWeights), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more entries than the limit of 1")));
  CAIRN_EXPECT_OK(ReadOf("shards_good", 1, kWeights));
}

}  // namespace
}  // namespace cairn::testing
