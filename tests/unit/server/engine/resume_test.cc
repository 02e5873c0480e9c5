#include "gmock/gmock.h"
#include "tests/unit/server/engine/engine_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

class ResumeTest : public EngineTest {
 protected:
  absl::StatusOr<uint64_t> DurableBytes(const std::string& session) {
    absl::StatusOr<SaveStatus> status = engine_->GetSaveStatus(session, 0);
    if (!status.ok()) return status.status();
    return status->shards.empty() ? 0 : status->shards[0].second.durable_bytes;
  }
};

TEST_F(ResumeTest, ARestartedDaemonGoesOnAtTheLastDurableByte) {
  const TestTensor tensor = MakeTensor("w", Dtype::kUint8, {50'000}, 4);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  uint64_t acknowledged = 0;
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
    CAIRN_ASSERT_OK(upload->Declare(tensor.entry, std::nullopt, 0));
    CAIRN_ASSERT_OK(Send(*upload, 0, absl::string_view(tensor.bytes).substr(0, 30'000)));
    acknowledged = upload->progress().durable_offset;
    EXPECT_GE(acknowledged, 16'384u);  // Three objects of eight extents, of which the last may still be on its way.
  }
  Restart();
  CAIRN_ASSERT_OK_AND_ASSIGN(const uint64_t durable, DurableBytes(session));
  EXPECT_EQ(durable, 24'576u);
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
  CAIRN_ASSERT_OK(upload->Declare(tensor.entry, std::nullopt, durable));
  CAIRN_ASSERT_OK(Send(*upload, durable, absl::string_view(tensor.bytes).substr(durable)));
  CAIRN_ASSERT_OK(upload->FinishEntry());
  CAIRN_ASSERT_OK(upload->Flush());
  CAIRN_ASSERT_OK(Commit(session));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run"));
  EXPECT_EQ(loaded.at("w"), tensor.bytes);
}

TEST_F(ResumeTest, AWrongStartSaysWhereToResume) {
  const TestTensor tensor = MakeTensor("w", Dtype::kUint8, {20'000}, 4);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
    CAIRN_ASSERT_OK(upload->Declare(tensor.entry, std::nullopt, 0));
    CAIRN_ASSERT_OK(Send(*upload, 0, absl::string_view(tensor.bytes).substr(0, 9000)));
    CAIRN_ASSERT_OK(upload->Flush());
    EXPECT_EQ(upload->progress().durable_offset, 8192u);  // Whole extents only.
  }
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
  const absl::Status refused = upload->Declare(tensor.entry, std::nullopt, 0);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("8192")));
  EXPECT_EQ(GetErrorInfo(refused).reason, "RESUME_OFFSET");
  EXPECT_EQ(GetErrorInfo(refused).metadata["expected"], "8192");
}

TEST_F(ResumeTest, FinishedEntriesNeedNotBeSentAgain) {
  const TestTensor a = MakeTensor("a", Dtype::kUint8, {3000}, 4);
  const TestTensor b = MakeTensor("b", Dtype::kUint8, {3000}, 5);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK(PutAll(session, 0, {a}));
  Restart();
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
  CAIRN_ASSERT_OK(upload->Declare(a.entry, std::nullopt, 3000));
  CAIRN_ASSERT_OK(upload->FinishEntry());
  CAIRN_ASSERT_OK(PutEntry(*upload, b.entry, std::nullopt, b.bytes));
  CAIRN_ASSERT_OK(upload->Flush());
  EXPECT_EQ(upload->progress().durable_entries, 2u);
  EXPECT_EQ(upload->progress().durable_bytes, 3000u);
  CAIRN_ASSERT_OK(Commit(session));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run"));
  EXPECT_EQ(loaded, Bytes({a, b}));
}

TEST_F(ResumeTest, AStreamThatWasThoughtDeadMaySendTheSameBytesTwice) {
  const TestTensor tensor = MakeTensor("w", Dtype::kUint8, {20'000}, 4);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> zombie, engine_->OpenUpload(session, 0));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
  CAIRN_ASSERT_OK(zombie->Declare(tensor.entry, std::nullopt, 0));
  CAIRN_ASSERT_OK(Send(*zombie, 0, absl::string_view(tensor.bytes).substr(0, 12'000)));
  CAIRN_ASSERT_OK(zombie->Flush());
  CAIRN_ASSERT_OK(PutEntry(*upload, tensor.entry, std::nullopt, tensor.bytes));
  CAIRN_ASSERT_OK(upload->Flush());
  CAIRN_ASSERT_OK(Commit(session));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run"));
  EXPECT_EQ(loaded.at("w"), tensor.bytes);
}

TEST_F(ResumeTest, TwoStreamsThatSendDifferentBytesForOneShardAreRefused) {
  const TestTensor one = MakeTensor("w", Dtype::kUint8, {5000}, 4);
  const TestTensor two = MakeTensor("w", Dtype::kUint8, {5000}, 5);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> first, engine_->OpenUpload(session, 0));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> second, engine_->OpenUpload(session, 0));
  CAIRN_ASSERT_OK(PutEntry(*first, one.entry, std::nullopt, one.bytes));
  CAIRN_ASSERT_OK(PutEntry(*second, two.entry, std::nullopt, two.bytes));
  CAIRN_ASSERT_OK(first->Flush());
  CAIRN_ASSERT_OK(second->Flush());
  EXPECT_THAT(Commit(session), StatusIs(absl::StatusCode::kAborted, HasSubstr("different bytes")));
}

TEST_F(ResumeTest, AnUnfinishedShardKeepsTheCommitBack) {
  const TestTensor tensor = MakeTensor("w", Dtype::kUint8, {5000}, 4);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
  CAIRN_ASSERT_OK(upload->Declare(tensor.entry, std::nullopt, 0));
  CAIRN_ASSERT_OK(Send(*upload, 0, absl::string_view(tensor.bytes).substr(0, 2048)));
  CAIRN_ASSERT_OK(upload->Flush());
  EXPECT_THAT(Commit(session), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("2048 of 5000")));
}

TEST_F(ResumeTest, OrderAndLengthsAreHeld) {
  const TestTensor tensor = MakeTensor("w", Dtype::kUint8, {100}, 4);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
  EXPECT_THAT(upload->Append(0, {}), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(upload->FinishEntry(), StatusIs(absl::StatusCode::kFailedPrecondition));
  CAIRN_ASSERT_OK(upload->Declare(tensor.entry, std::nullopt, 0));
  EXPECT_THAT(upload->Declare(tensor.entry, std::nullopt, 0), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(upload->Append(5, {Buffer::FromString("x")}), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("offset 0")));
  EXPECT_THAT(upload->Append(0, {Buffer::FromString(std::string(101, 'x'))}), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(upload->FinishEntry(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 of 100")));
}

TEST_F(ResumeTest, AnExpiredSessionTakesNoMoreBytesAndItsObjectsGo) {
  const TestTensor tensor = MakeTensor("w", Dtype::kUint8, {20'000}, 4);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK(PutAll(session, 0, {tensor}));
  EXPECT_GT(ObjectCount(), 0u);
  clock_.Advance(absl::Hours(1));
  CAIRN_ASSERT_OK(engine_->Maintain());
  EXPECT_THAT(PutAll(session, 0, {tensor}), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expired")));
  EXPECT_THAT(engine_->CommitSave(session), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("expired")));
  CAIRN_ASSERT_OK(Collect());
  EXPECT_EQ(ObjectCount(), 0u);
}

TEST_F(ResumeTest, AnAbortedSessionLeavesNothing) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK(PutAll(session, 0, {MakeTensor("w", Dtype::kUint8, {20'000}, 4)}));
  CAIRN_ASSERT_OK(engine_->AbortSave(session));
  CAIRN_ASSERT_OK(engine_->AbortSave(session));
  CAIRN_ASSERT_OK(Collect());
  EXPECT_EQ(ObjectCount(), 0u);
}

}  // namespace
}  // namespace cairn::testing
