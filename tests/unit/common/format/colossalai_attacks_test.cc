#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "common/base/status_macros.h"
#include "common/format/colossalai/colossalai_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/colossalai_attacks.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

// Opens it and reads everything that it says it has, up to a megabyte of each entry.
absl::Status ReadAll(std::shared_ptr<const SourceTree> source) {
  ReadLimits limits;
  limits.max_entries = 10'000;
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointReader> reader, ColossalAiFormat().Open(std::move(source), {.limits = limits}));
  for (size_t i = 0; i < reader->index().entries.size(); ++i) {
    std::string read(std::min<uint64_t>(reader->index().entries[i].byte_size, 1u << 20), '\0');
    CAIRN_RETURN_IF_ERROR(reader->ReadAt(i, 0, absl::MakeSpan(read)));
  }
  return absl::OkStatus();
}

class ColossalAiFileAttacked : public ::testing::TestWithParam<ColossalAiFileAttack> {};

TEST_P(ColossalAiFileAttacked, IsRefusedByNameAndAtOnce) {
  const auto started = std::chrono::steady_clock::now();
  const absl::Status status = ReadAll(MemorySourceTree(GetParam().bytes, "states.safetensors"));
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(5));
  if (GetParam().message.empty()) {
    CAIRN_EXPECT_OK(status);
    return;
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(GetParam().message)));
  EXPECT_THAT(status.message(), HasSubstr("states.safetensors"));
}

INSTANTIATE_TEST_SUITE_P(ColossalAi, ColossalAiFileAttacked, ::testing::ValuesIn(ColossalAiFileAttacks()),
                         [](const auto& attack) { return attack.param.name; });

class ColossalAiFolderAttacked : public ::testing::TestWithParam<ColossalAiFolderAttack> {};

TEST_P(ColossalAiFolderAttacked, IsRefusedByName) {
  TempDir dir;
  for (const auto& [name, bytes] : GetParam().files) {
    const std::filesystem::path path = dir / name;
    std::filesystem::create_directories(path.parent_path());
    if (!name.ends_with('/')) std::ofstream(path, std::ios::binary) << bytes;
  }
  const absl::Status status = ReadAll(OpenSourceTree(dir.path()).value());
  if (GetParam().message.empty()) {
    CAIRN_EXPECT_OK(status);
    return;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(status) || absl::IsNotFound(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
  EXPECT_TRUE(ColossalAiFormat().Detect(*OpenSourceTree(dir.path()).value()) || GetParam().name == "optimizer_without_an_index" ||
              GetParam().name == "model_twice");
}

INSTANTIATE_TEST_SUITE_P(ColossalAi, ColossalAiFolderAttacked, ::testing::ValuesIn(ColossalAiFolderAttacks()),
                         [](const auto& attack) { return attack.param.name; });

TEST(ColossalAiCutShort, IsRefusedWhereverItEnds) {
  const std::string good = ColossalAiFileAttacks().front().bytes;
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(ReadAll(MemorySourceTree(good.substr(0, size))).ok()) << "cut to " << size;
  }
}

}  // namespace
}  // namespace cairn::testing
