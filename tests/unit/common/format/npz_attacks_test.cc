#include "tests/attacks/npz_attacks.h"

#include "common/format/npz/npz_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attacks/zip_attacks.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

TEST(NpzAttacks, AreRefusedEachForItsReason) {
  for (const NpzAttack& attack : NpzAttacks()) {
    const auto tree = MemorySourceTree(attack.bytes, "bad.npz");
    (void)NpzFormat().Detect(*tree);
    const auto reader = NpzFormat().Open(MemorySourceTree(attack.bytes, "bad.npz"), {});
    const absl::Status status =
        reader.ok() && !(*reader)->index().entries.empty()
            ? [&] { std::string byte(1, '\0'); return (*reader)->ReadAt(0, 0, absl::MakeSpan(byte)); }()
            : reader.status();
    EXPECT_FALSE(status.ok()) << attack.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr(attack.message)) << attack.name;
    EXPECT_THAT(std::string(status.message()), HasSubstr("bad.npz: entry ")) << attack.name;
  }
}

TEST(NpzAttacks, ArchivesThatAreNoneAreRefusedAsSuch) {
  for (const ZipAttack& attack : ZipDirectoryAttacks()) {
    EXPECT_THAT(NpzFormat().Open(MemorySourceTree(attack.bytes, "bad.npz"), {}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(attack.message)))
        << attack.name;
    EXPECT_FALSE(NpzFormat().Detect(*MemorySourceTree(attack.bytes))) << attack.name;
  }
}

}  // namespace
}  // namespace cairn::testing
