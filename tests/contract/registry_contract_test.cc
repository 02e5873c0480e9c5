#include "tests/contract/registry_contract.h"

#include <memory>
#include <string>
#include <utility>

#include "server/registry/sqlite_registry.h"
#include "tests/testing/temp_dir.h"

namespace cairn::testing {
namespace {

class SqliteDatabase final : public RegistryDatabase {
 public:
  explicit SqliteDatabase(bool durable) : durable_(durable) {}
  absl::StatusOr<std::unique_ptr<Registry>> Open() override {
    return OpenSqliteRegistry({.path = dir_ / "registry.db", .durable = durable_});
  }

 private:
  TempDir dir_;
  const bool durable_;
};

// Syncing changes when bytes reach the disk, not what a process sees, so one suite does without.
const RegistryUnderTest kFast = {"Sqlite",
                                 [] { return std::make_unique<SqliteDatabase>(/*durable=*/false); }};
const RegistryUnderTest kDurable = {"DurableSqlite",
                                    [] { return std::make_unique<SqliteDatabase>(/*durable=*/true); }};

INSTANTIATE_TEST_SUITE_P(Sqlite, RegistryContract, ::testing::Values(kFast), NameOfRegistry);
INSTANTIATE_TEST_SUITE_P(Sqlite, RegistryConcurrency, ::testing::Values(kFast, kDurable), NameOfRegistry);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RegistryContract);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RegistryConcurrency);

}  // namespace
}  // namespace cairn::testing
