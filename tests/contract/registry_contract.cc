#include "tests/contract/registry_contract.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "tests/testing/status_matchers.h"

namespace cairn::testing {

absl::Time At(int64_t seconds) { return absl::FromUnixSeconds(1'700'000'000 + seconds); }

Digest DigestNumber(uint64_t number) { return DigestOf(absl::StrCat("extent ", number), DigestAlgorithm::kXxh3); }

std::vector<Digest> DigestNumbers(uint64_t first, size_t count) {
  std::vector<Digest> digests;
  for (size_t i = 0; i < count; ++i) digests.push_back(DigestNumber(first + i));
  return digests;
}

std::vector<NewExtent> ExtentNumbers(uint64_t first, size_t count) {
  std::vector<NewExtent> extents;
  for (size_t i = 0; i < count; ++i) {
    extents.push_back(
        {.digest = DigestNumber(first + i), .offset = 10 * i, .stored_bytes = 10, .raw_bytes = 20});
  }
  return extents;
}

SessionSpec SpecOf(absl::string_view name, int64_t step, absl::string_view client_key) {
  SessionSpec spec;
  spec.name = std::string(name);
  spec.step = step;
  spec.client_key = std::string(client_key);
  return spec;
}

CheckpointRow RowOf(absl::string_view uid, absl::string_view name, int64_t step) {
  CheckpointRow row;
  row.uid = std::string(uid);
  row.name = std::string(name);
  row.step = step;
  row.created_at = At(1);
  row.manifest_key = absl::StrCat("manifest-", uid);
  row.manifest_digest = DigestOf(row.manifest_key, DigestAlgorithm::kSha256);
  row.manifest_bytes = 7;
  return row;
}

absl::StatusOr<CheckpointRow> SaveCheckpoint(Registry& registry, const CommitArguments& arguments) {
  SessionSpec spec = SpecOf(arguments.name, arguments.step, absl::StrCat("key-", arguments.uid));
  spec.overwrite = arguments.overwrite;
  CAIRN_ASSIGN_OR_RETURN(const Session session,
                         registry.BeginSession(absl::StrCat("session-", arguments.uid), spec, arguments.now));
  for (const std::string& object : arguments.new_objects) {
    CAIRN_RETURN_IF_ERROR(
        registry.RecordPart(session.id, {.object_key = object, .object_bytes = 100}, {}, arguments.now));
  }
  CheckpointRow row = RowOf(arguments.uid, arguments.name, arguments.step);
  row.metadata = arguments.metadata;
  return registry.CommitSession(session.id, row, arguments.new_objects, arguments.new_objects.size(),
                                arguments.now);
}

std::vector<std::string> UidsOf(const std::vector<CheckpointRow>& rows) {
  std::vector<std::string> uids;
  for (const CheckpointRow& row : rows) uids.push_back(row.uid);
  return uids;
}

std::vector<std::string> CondemnedKeys(Registry& registry, size_t limit) {
  const auto garbage = registry.CondemnObjects(limit);
  CAIRN_EXPECT_OK(garbage);
  std::vector<std::string> keys;
  if (garbage.ok()) {
    for (const Registry::Garbage& object : *garbage) keys.push_back(object.object_key);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

void RegistryContract::SetUp() {
  database_ = GetParam().make();
  registry_ = OpenAnother();
  ASSERT_NE(registry_, nullptr);
}

void RegistryContract::Reopen() {
  registry_.reset();
  registry_ = OpenAnother();
  ASSERT_NE(registry_, nullptr);
}

std::unique_ptr<Registry> RegistryContract::OpenAnother() {
  auto registry = database_->Open();
  CAIRN_EXPECT_OK(registry);
  return registry.ok() ? *std::move(registry) : nullptr;
}

void RegistryContract::Begin(absl::string_view key, int64_t step, uint32_t writers) {
  SessionSpec spec = SpecOf("team/run", step, key);
  spec.writers = writers;
  CAIRN_ASSERT_OK(registry_->BeginSession(absl::StrCat("s-", key), spec, At(0)));
}

absl::Status RegistryContract::Record(absl::string_view session, absl::string_view object,
                                      absl::Span<const NewExtent> extents, uint32_t writer) {
  SessionPart part;
  part.writer = writer;
  part.object_key = std::string(object);
  part.object_bytes = object.empty() ? 0 : 100;
  return registry_->RecordPart(session, part, extents, At(0));
}

size_t RegistryContract::Claim(absl::string_view session, absl::Span<const Digest> digests) {
  const auto locations = registry_->ClaimExtents(session, digests);
  CAIRN_EXPECT_OK(locations);
  if (!locations.ok()) return 0;
  EXPECT_EQ(locations->size(), digests.size());
  return std::count_if(locations->begin(), locations->end(),
                       [](const auto& location) { return location.has_value(); });
}

bool RegistryContract::Knows(const std::string& object) {
  const auto known = registry_->KnowsObjects({object});
  CAIRN_EXPECT_OK(known);
  return known.ok() && known->size() == 1 && known->front();
}

}  // namespace cairn::testing
