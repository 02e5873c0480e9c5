#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

#include "common/base/status_macros.h"
#include "common/format/llama/llama_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/llama_attacks.h"
#include "tests/testing/memory_folder.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

absl::Status ReadAll(const std::map<std::string, std::string>& files) {
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointReader> reader, LlamaFormat().Open(std::make_shared<MemoryFolder>(files), {}));
  for (size_t i = 0; i < reader->index().entries.size(); ++i) {
    std::string read(std::min<uint64_t>(reader->index().entries[i].byte_size, 1u << 20), '\0');
    CAIRN_RETURN_IF_ERROR(reader->ReadAt(i, 0, absl::MakeSpan(read)));
  }
  return absl::OkStatus();
}

class LlamaAttacked : public ::testing::TestWithParam<LlamaAttack> {};

TEST_P(LlamaAttacked, IsRefusedByNameAndAtOnce) {
  const auto started = std::chrono::steady_clock::now();
  const absl::Status status = ReadAll(GetParam().files);
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(5));
  if (GetParam().name == "good") {
    CAIRN_EXPECT_OK(status);
    return;
  }
  // Nothing tells one slice from another but the copies, and a part that stands twice has those too: the slices of a
  // matrix may well be alike.
  if (GetParam().message.empty()) return;
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
  EXPECT_THAT(status.message(), HasSubstr("folder"));
}

INSTANTIATE_TEST_SUITE_P(Llama, LlamaAttacked, ::testing::ValuesIn(LlamaAttacks()),
                         [](const auto& attack) { return attack.param.name; });

}  // namespace
}  // namespace cairn::testing
