#include "tests/attacks/zip_attacks.h"

#include "common/io/memory_io.h"
#include "common/zip/zip_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

TEST(ZipAttacks, DirectoriesAreRefusedEachForItsReason) {
  for (const ZipAttack& attack : ZipDirectoryAttacks()) {
    const auto reader = ZipReader::Open(std::make_shared<MemorySource>(attack.bytes, "bad.zip"));
    EXPECT_THAT(reader, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(attack.message))) << attack.name;
    EXPECT_THAT(std::string(reader.status().message()), HasSubstr("bad.zip")) << attack.name;
    (void)PeekZipNames(MemorySource(attack.bytes));
  }
}

TEST(ZipAttacks, EntriesAreRefusedEachForItsReason) {
  for (const ZipAttack& attack : ZipEntryAttacks()) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader,
                               ZipReader::Open(std::make_shared<MemorySource>(attack.bytes, "bad.zip")));
    const auto content = reader->ReadEntry(0, 1 << 20);
    EXPECT_FALSE(content.ok()) << attack.name;
    EXPECT_THAT(std::string(content.status().message()), HasSubstr(attack.message)) << attack.name;
    EXPECT_THAT(std::string(content.status().message()), HasSubstr("bad.zip: entry \"a\"")) << attack.name;
  }
}

}  // namespace
}  // namespace cairn::testing
