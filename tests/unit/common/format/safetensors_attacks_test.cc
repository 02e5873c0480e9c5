#include "tests/attacks/safetensors_attacks.h"

#include <ostream>

#include "common/format/safetensors/safetensors_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {

// So that a failure is shown by its name.
void PrintTo(const SafetensorsAttack& attack, std::ostream* out) { *out << attack.name; }

namespace {

using ::testing::HasSubstr;

class SafetensorsAttacked : public ::testing::TestWithParam<SafetensorsAttack> {};

TEST_P(SafetensorsAttacked, IsRefusedForTheRightReason) {
  const auto reader = SafetensorsFormat().Open(MemorySourceTree(GetParam().bytes, "attack"), {});
  EXPECT_THAT(reader, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
  EXPECT_THAT(std::string(reader.status().message()), ::testing::StartsWith("attack: "));
  EXPECT_LT(reader.status().message().size(), 1000u);
}

INSTANTIATE_TEST_SUITE_P(All, SafetensorsAttacked, ::testing::ValuesIn(SafetensorsAttacks()),
                         [](const auto& attack) { return attack.param.name; });

}  // namespace
}  // namespace cairn::testing
