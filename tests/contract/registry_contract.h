#pragma once

// What every Registry must do, whatever its database: the suites RegistryContract (registry_*_contract.cc)
// and RegistryConcurrency (registry_concurrency_contract.cc). An implementation instantiates them with a
// maker of databases.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/base/digest.h"
#include "gtest/gtest.h"
#include "server/registry/registry.h"

namespace cairn::testing {

// A database of one test's own.
class RegistryDatabase {
 public:
  virtual ~RegistryDatabase() = default;
  // A registry on it. Each call is another daemon; all see the same rows.
  virtual absl::StatusOr<std::unique_ptr<Registry>> Open() = 0;
};

struct RegistryUnderTest {
  std::string name;
  std::function<std::unique_ptr<RegistryDatabase>()> make;
};

inline void PrintTo(const RegistryUnderTest& registry, std::ostream* out) { *out << registry.name; }
inline std::string NameOfRegistry(const ::testing::TestParamInfo<RegistryUnderTest>& info) {
  return info.param.name;
}

// Time at `seconds` on the tests' own axis.
absl::Time At(int64_t seconds);
Digest DigestNumber(uint64_t number);
std::vector<Digest> DigestNumbers(uint64_t first, size_t count);
// Extents with the digests first .. first+count-1, one after the other in their object.
std::vector<NewExtent> ExtentNumbers(uint64_t first, size_t count);
SessionSpec SpecOf(absl::string_view name, int64_t step, absl::string_view client_key);
CheckpointRow RowOf(absl::string_view uid, absl::string_view name, int64_t step);

struct CommitArguments {
  std::string uid;
  std::string name = "team/run";
  int64_t step = 0;
  std::vector<std::string> new_objects;  // Recorded by the session, one part each.
  std::map<std::string, std::string> metadata;
  bool overwrite = false;
  absl::Time now = At(10);
};
// A whole save: session, parts, commit. The manifest is "manifest-UID". Objects have 100 bytes and no
// extents.
absl::StatusOr<CheckpointRow> SaveCheckpoint(Registry& registry, const CommitArguments& arguments);

std::vector<std::string> UidsOf(const std::vector<CheckpointRow>& rows);
// Condemns everything that can be; the keys, sorted.
std::vector<std::string> CondemnedKeys(Registry& registry, size_t limit = 1'000'000);

class RegistryContract : public ::testing::TestWithParam<RegistryUnderTest> {
 protected:
  void SetUp() override;
  // The same database, after the end of this daemon.
  void Reopen();
  std::unique_ptr<Registry> OpenAnother();
  // Opens a session "s-KEY" under the client key, for team/run@step.
  void Begin(absl::string_view key, int64_t step, uint32_t writers = 1);
  absl::Status Record(absl::string_view session, absl::string_view object,
                      absl::Span<const NewExtent> extents = {}, uint32_t writer = 0);
  // How many of the digests are hits.
  size_t Claim(absl::string_view session, absl::Span<const Digest> digests);
  bool Knows(const std::string& object);

  std::unique_ptr<RegistryDatabase> database_;
  std::unique_ptr<Registry> registry_;
};

class RegistryConcurrency : public RegistryContract {};

}  // namespace cairn::testing
