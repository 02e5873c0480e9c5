#include "tests/attacks/dcp_attacks.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

#include "common/base/status_macros.h"
#include "common/format/dcp/dcp_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/memory_folder.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

// Opens the folder and reads everything that it says it has, up to a megabyte of each entry.
absl::Status ReadAll(const std::map<std::string, std::string>& files) {
  ReadLimits limits;
  limits.max_entries = 10'000;
  CAIRN_ASSIGN_OR_RETURN(const std::unique_ptr<CheckpointReader> reader,
                         DcpFormat().Open(std::make_shared<MemoryFolder>(files, "step-7"), {.limits = limits}));
  for (size_t i = 0; i < reader->index().entries.size(); ++i) {
    std::string read(std::min<uint64_t>(reader->index().entries[i].byte_size, 1u << 20), '\0');
    CAIRN_RETURN_IF_ERROR(reader->ReadAt(i, 0, absl::MakeSpan(read)));
  }
  return absl::OkStatus();
}

class DcpAttacked : public ::testing::TestWithParam<DcpAttack> {};

TEST_P(DcpAttacked, IsRefusedByNameAndAtOnce) {
  const auto started = std::chrono::steady_clock::now();
  const absl::Status status = ReadAll(GetParam().files);
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(5));
  if (GetParam().harmless) {
    CAIRN_EXPECT_OK(status);
    return;
  }
  EXPECT_THAT(status.code(),
              AnyOf(absl::StatusCode::kInvalidArgument, absl::StatusCode::kUnimplemented, absl::StatusCode::kNotFound))
      << status;
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
  EXPECT_THAT(status.message(), HasSubstr("step-7"));
}

INSTANTIATE_TEST_SUITE_P(Dcp, DcpAttacked, ::testing::ValuesIn(DcpAttacks()),
                         [](const auto& attack) { return attack.param.name; });

TEST(DcpCutShort, IsRefusedWhereverItEnds) {
  for (const DcpAttack& attack : DcpAttacks()) {
    if (!attack.harmless || attack.files.size() < 2 || attack.files.begin()->second.size() < 300) continue;
    for (const auto& [name, bytes] : attack.files) {
      for (size_t size = 0; size < bytes.size(); ++size) {
        std::map<std::string, std::string> files = attack.files;
        files[name].resize(size);
        EXPECT_FALSE(ReadAll(files).ok()) << attack.name << ": " << name << " cut to " << size;
      }
    }
  }
}

}  // namespace
}  // namespace cairn::testing
