#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "common/base/status_macros.h"
#include "common/format/torch/torch_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/torch_attacks.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

// Opens the file and reads everything that it says it has, up to a megabyte of each entry.
absl::Status ReadAll(const std::string& bytes) {
  ReadLimits limits;
  limits.max_entries = 100'000;
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointReader> reader, TorchFormat().Open(MemorySourceTree(bytes, "model.pt"), {.limits = limits}));
  for (size_t i = 0; i < reader->index().entries.size(); ++i) {
    std::string read(std::min<uint64_t>(reader->index().entries[i].byte_size, 1u << 20), '\0');
    CAIRN_RETURN_IF_ERROR(reader->ReadAt(i, 0, absl::MakeSpan(read)));
  }
  return absl::OkStatus();
}

class TorchAttacked : public ::testing::TestWithParam<TorchAttack> {};

TEST_P(TorchAttacked, IsRefusedByNameAndAtOnce) {
  const auto started = std::chrono::steady_clock::now();
  const absl::Status status = ReadAll(GetParam().bytes);
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(5));
  if (absl::EndsWith(GetParam().name, "good")) {
    CAIRN_EXPECT_OK(status);
    return;
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
  EXPECT_THAT(status.message(), HasSubstr("model.pt"));
}

INSTANTIATE_TEST_SUITE_P(Torch, TorchAttacked, ::testing::ValuesIn(TorchAttacks()),
                         [](const auto& attack) { return attack.param.name; });

TEST(TorchCutShort, IsRefusedWhereverItEnds) {
  for (const TorchAttack& attack : TorchAttacks()) {
    if (attack.name != "good" && attack.name != "legacy_good") continue;
    for (size_t size = 0; size < attack.bytes.size(); ++size) {
      EXPECT_FALSE(ReadAll(attack.bytes.substr(0, size)).ok()) << attack.name << " cut to " << size;
    }
  }
}

}  // namespace
}  // namespace cairn::testing
