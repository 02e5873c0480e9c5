#include <filesystem>

#include "gmock/gmock.h"
#include "tests/unit/server/engine/engine_fixture.h"

namespace cairn::testing {
namespace {

class GarbageTest : public EngineTest {};

TEST_F(GarbageTest, ADeletedCheckpointIsCollectedAndTheOthersStay) {
  const TestTensor a = MakeTensor("a", Dtype::kUint8, {20'000}, 1);
  const TestTensor b = MakeTensor("b", Dtype::kUint8, {20'000}, 2);
  CAIRN_ASSERT_OK(Save("run", 1, {a}));
  CAIRN_ASSERT_OK(Save("run", 2, {b}));
  const size_t before = ObjectCount();
  CAIRN_ASSERT_OK(engine_->DeleteCheckpoint(*Ref::Parse("run@1")));
  CAIRN_ASSERT_OK_AND_ASSIGN(const GarbageReport report, Collect());
  EXPECT_EQ(report.purged_checkpoints, 1u);
  EXPECT_GE(report.deleted_bytes, 20'000u);
  EXPECT_EQ(ObjectCount(), before - report.deleted_objects);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run@2"));
  EXPECT_EQ(loaded.at("b"), b.bytes);
}

bool operator==(const GarbageReport& a, const GarbageReport& b) {
  return a.purged_checkpoints == b.purged_checkpoints && a.expired_sessions == b.expired_sessions &&
         a.deleted_objects == b.deleted_objects && a.deleted_bytes == b.deleted_bytes;
}

TEST_F(GarbageTest, ADryRunCountsWhatTheRunThenDoes) {
  const TestTensor shared = MakeTensor("a", Dtype::kUint8, {20'000}, 1);
  CAIRN_ASSERT_OK(Save("run", 1, {shared, MakeTensor("b", Dtype::kUint8, {30'000}, 2)}));
  CAIRN_ASSERT_OK(Save("run", 2, {shared}));
  CAIRN_ASSERT_OK(engine_->DeleteCheckpoint(*Ref::Parse("run@1")));
  // A session that nobody goes on with; beside what it recorded lies an object that it could not record.
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 3));
  CAIRN_ASSERT_OK(PutAll(session, 0, {MakeTensor("c", Dtype::kUint8, {40'000}, 3)}));
  CAIRN_ASSERT_OK(PutObject(*base_store_, session + "/0-orphan", "bytes"));
  clock_.Advance(absl::Hours(25));

  const size_t before = ObjectCount();
  CAIRN_ASSERT_OK_AND_ASSIGN(const GarbageReport dry, Collect(/*dry_run=*/true));
  EXPECT_EQ(ObjectCount(), before);
  EXPECT_EQ(dry.purged_checkpoints, 1u);
  EXPECT_EQ(dry.expired_sessions, 1u);
  EXPECT_GE(dry.deleted_bytes, 40'000u);
  CAIRN_ASSERT_OK_AND_ASSIGN(const GarbageReport run, Collect());
  EXPECT_TRUE(dry == run) << dry.deleted_objects << " objects and " << dry.deleted_bytes << " bytes, then "
                          << run.deleted_objects << " and " << run.deleted_bytes;
  EXPECT_EQ(ObjectCount(), before - run.deleted_objects);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run@2"));
  EXPECT_EQ(loaded.at("a"), shared.bytes);
}

TEST_F(GarbageTest, ADryRunOfAnAbortedSessionChangesNothing) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK(PutAll(session, 0, {MakeTensor("w", Dtype::kUint8, {20'000}, 4)}));
  CAIRN_ASSERT_OK(engine_->AbortSave(session));
  const size_t before = ObjectCount();
  CAIRN_ASSERT_OK_AND_ASSIGN(const GarbageReport report, Collect(/*dry_run=*/true));
  EXPECT_EQ(report.deleted_objects, before);
  EXPECT_EQ(ObjectCount(), before);
}

TEST_F(GarbageTest, ARunningReadOfADeletedCheckpointFinishes) {
  const TestTensor tensor = MakeTensor("w", Dtype::kUint8, {50'000}, 1);
  CAIRN_ASSERT_OK(Save("run", 1, {tensor}));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Download> download, engine_->OpenDownload(*Ref::Parse("run"), {}));
  CAIRN_ASSERT_OK(engine_->DeleteCheckpoint(*Ref::Parse("run")));
  // Long beyond the pin's lease, but the daemon renews it.
  for (int i = 0; i < 20; ++i) {
    clock_.Advance(absl::Minutes(1));
    CAIRN_ASSERT_OK(engine_->Maintain());
    CAIRN_ASSERT_OK(Collect());
  }
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Drain(*download));
  EXPECT_EQ(loaded.at("w"), tensor.bytes);
  download.reset();
  CAIRN_ASSERT_OK(engine_->Maintain());
  CAIRN_ASSERT_OK(Collect());
  EXPECT_EQ(ObjectCount(), 0u);
}

TEST_F(GarbageTest, TheReadOfACrashedDaemonHoldsNothingForEver) {
  CAIRN_ASSERT_OK(Save("run", 1, {MakeTensor("w", Dtype::kUint8, {50'000}, 1)}));
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Download> download, engine_->OpenDownload(*Ref::Parse("run"), {}));
    CAIRN_ASSERT_OK(engine_->DeleteCheckpoint(*Ref::Parse("run")));
  }
  Restart();
  clock_.Advance(absl::Minutes(6));
  CAIRN_ASSERT_OK(Collect());
  EXPECT_EQ(ObjectCount(), 0u);
}

TEST_F(GarbageTest, AnOpenSessionKeepsItsObjectsRecordedOrNot) {
  const TestTensor tensor = MakeTensor("w", Dtype::kUint8, {20'000}, 4);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
  CAIRN_ASSERT_OK(PutEntry(*upload, tensor.entry, std::nullopt, tensor.bytes));
  // Sealed, but a crash came before its recording.
  CAIRN_ASSERT_OK(PutObject(*base_store_, session + "/0-orphan", "bytes"));
  CAIRN_ASSERT_OK(Collect());
  CAIRN_EXPECT_OK(base_store_->Size(session + "/0-orphan"));
  CAIRN_ASSERT_OK(upload->Flush());
  CAIRN_ASSERT_OK(Commit(session));
  CAIRN_ASSERT_OK(Collect());
  EXPECT_THAT(base_store_->Size(session + "/0-orphan"), StatusIs(absl::StatusCode::kNotFound));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run"));
  EXPECT_EQ(loaded.at("w"), tensor.bytes);
}

TEST_F(GarbageTest, BytesThatAnOpenSessionSharesOutliveTheirFirstOwner) {
  const TestTensor tensor = MakeTensor("w", Dtype::kUint8, {20'000}, 4);
  CAIRN_ASSERT_OK(Save("run", 1, {tensor}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 2));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
  CAIRN_ASSERT_OK(PutEntry(*upload, tensor.entry, std::nullopt, tensor.bytes));
  CAIRN_ASSERT_OK(upload->Settle());
  // Claimed, but not recorded yet.
  CAIRN_ASSERT_OK(engine_->DeleteCheckpoint(*Ref::Parse("run@1")));
  CAIRN_ASSERT_OK(Collect());
  CAIRN_ASSERT_OK(upload->Flush());
  EXPECT_EQ(upload->progress().deduplicated_bytes, 20'000u);
  CAIRN_ASSERT_OK(Commit(session));
  CAIRN_ASSERT_OK(Collect());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run@2"));
  EXPECT_EQ(loaded.at("w"), tensor.bytes);
}

TEST_F(GarbageTest, ALostRegistryDoesNotCostTheObjects) {
  CAIRN_ASSERT_OK(Save("run", 1, {MakeTensor("w", Dtype::kUint8, {20'000}, 4)}));
  const size_t before = ObjectCount();
  engine_.reset();
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(directory_ / "registry.db" + suffix);
  Restart();
  EXPECT_THAT(Collect(), StatusIs(absl::StatusCode::kFailedPrecondition, ::testing::HasSubstr("lost")));
  EXPECT_EQ(ObjectCount(), before);
}

}  // namespace
}  // namespace cairn::testing
