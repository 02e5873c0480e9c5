#include "common/format/litgpt/litgpt_format.h"
#include "tests/attacks/litgpt_attacks.h"
#include "tests/unit/common/format/lit_attacked.h"

namespace cairn::testing {
namespace {

constexpr char kLoneName[] = "lit_model.pth";

class LitGptAttacked : public ::testing::TestWithParam<LitAttack> {};

TEST_P(LitGptAttacked, IsRefusedByNameAndAtOnce) { ExpectLitRefusal(LitGptFormat(), GetParam(), kLoneName, ""); }

INSTANTIATE_TEST_SUITE_P(LitGpt, LitGptAttacked, ::testing::ValuesIn(LitGptAttacks()), [](const auto& attack) { return attack.param.name; });

TEST(LitGptCutShort, IsRefusedWhereverItEnds) {
  LitAttack good = LitGptAttacks().front();
  good.files.erase("model_config.yaml");  // An asset of any length is one.
  ExpectLitRefusalWhereverItEnds(LitGptFormat(), good, kLoneName, "");
}

}  // namespace
}  // namespace cairn::testing
