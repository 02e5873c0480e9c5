// Fails each call of the object store in turn, during save, load and garbage collection.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/unit/server/engine/engine_fixture.h"

namespace cairn::testing {
namespace {

class FaultTest : public EngineTest {
 protected:
  // As a client does it: where a call fails, look how far the session has come, and go on from there.
  absl::Status SaveResuming(int64_t step, const std::vector<TestTensor>& tensors, int* attempts) {
    absl::StatusOr<std::string> session = Begin("run", step);
    if (!session.ok()) return session.status();
    absl::Status last;
    for (*attempts = 1; *attempts <= 4; ++*attempts) {
      last = TryOnce(*session, tensors);
      if (last.ok()) return last;
    }
    return last;
  }

  absl::Status TryOnce(const std::string& session, const std::vector<TestTensor>& tensors) {
    absl::StatusOr<SaveStatus> status = engine_->GetSaveStatus(session, 0);
    if (!status.ok()) return status.status();
    if (status->session.state == SessionState::kCommitted) return absl::OkStatus();
    std::map<std::string, uint64_t> durable;
    for (const auto& [writer, shard] : status->shards) durable[shard.entry.path.ToString()] = shard.durable_bytes;
    absl::StatusOr<std::unique_ptr<Upload>> upload = engine_->OpenUpload(session, 0);
    if (!upload.ok()) return upload.status();
    for (const TestTensor& tensor : tensors) {
      const uint64_t start = durable[tensor.entry.path.ToString()];
      absl::Status put = (*upload)->Declare(tensor.entry, std::nullopt, start);
      if (put.ok()) put = Send(**upload, start, absl::string_view(tensor.bytes).substr(start));
      if (put.ok()) put = (*upload)->FinishEntry();
      if (!put.ok()) return put;
    }
    absl::Status flushed = (*upload)->Flush();
    if (!flushed.ok()) return flushed;
    return Commit(session).status();
  }
};

TEST_F(FaultTest, EachFailedCallOfASaveLeavesItWholeOrAbsentAndResumable) {
  const std::vector<TestTensor> kept = {MakeTensor("a", Dtype::kUint8, {9000}, 1)};
  CAIRN_ASSERT_OK(Save("kept", 1, kept));
  int64_t step = 0;
  for (const bool after_work : {false, true}) {
    int64_t calls = 1;
    for (int64_t n = 0; n <= calls; ++n) {
      ++step;
      const std::vector<TestTensor> model = {MakeTensor("a", Dtype::kUint8, {9000}, 100 + 3 * step),
                                             MakeTensor("b", Dtype::kUint8, {17'000}, 101 + 3 * step),
                                             MakeTensor("c", Dtype::kUint8, {5}, 102 + 3 * step)};
      faults_->Arm({n, absl::UnavailableError("injected"), after_work});
      int attempts = 0;
      const absl::Status saved = SaveResuming(step, model, &attempts);
      if (n == 0) calls = faults_->calls();  // The run without a fault.
      faults_->Arm({});
      CAIRN_ASSERT_OK(saved) << "call " << n;
      EXPECT_EQ(attempts, n == 0 ? 1 : 2) << "call " << n;
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load(absl::StrCat("run@", step)));
      EXPECT_EQ(loaded, Bytes(model)) << "call " << n;
    }
    EXPECT_GT(calls, 10);
  }
  CAIRN_ASSERT_OK(Collect());
  for (int64_t s = 1; s <= step; ++s) CAIRN_EXPECT_OK(Load(absl::StrCat("run@", s)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto still, Load("kept"));
  EXPECT_EQ(still, Bytes(kept));
}

TEST_F(FaultTest, APermanentFaultEndsTheSaveWithItsOwnCodeAndNothingIsVisible) {
  faults_->Arm({2, absl::ResourceExhaustedError("disk full: free some space"), false});
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  EXPECT_THAT(PutAll(session, 0, {MakeTensor("a", Dtype::kUint8, {9000}, 1)}),
              StatusIs(absl::StatusCode::kResourceExhausted, ::testing::HasSubstr("disk full")));
  EXPECT_THAT(Load("run@1"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FaultTest, AFailedReadIsTheLoadsErrorAndTheNextLoadWorks) {
  const std::vector<TestTensor> model = {MakeTensor("a", Dtype::kUint8, {100'000}, 1)};  // Neighbours are read together.
  CAIRN_ASSERT_OK(Save("run", 1, model));
  Restart();  // Nothing cached.
  faults_->Arm({0, absl::OkStatus()});
  CAIRN_ASSERT_OK(Load("run"));
  const int64_t calls = faults_->calls();
  EXPECT_GT(calls, 8);
  for (int64_t n = 1; n <= calls; ++n) {
    Restart();
    faults_->Arm({n, absl::UnavailableError("injected")});
    EXPECT_THAT(Load("run"), StatusIs(absl::StatusCode::kUnavailable)) << n;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run"));
    EXPECT_EQ(loaded, Bytes(model));
  }
}

TEST_F(FaultTest, EachFailedCallOfACollectionLosesNothingAndTheNextOneFinishesIt) {
  const std::vector<TestTensor> kept = {MakeTensor("a", Dtype::kUint8, {9000}, 1)};
  CAIRN_ASSERT_OK(Save("kept", 1, kept));
  CAIRN_ASSERT_OK(Collect());
  const size_t objects = ObjectCount();
  int64_t calls = 1;
  for (int64_t n = 0; n <= calls; ++n) {
    CAIRN_ASSERT_OK(Save("run", n, {MakeTensor("a", Dtype::kUint8, {20'000}, 50 + static_cast<uint32_t>(n))}));
    CAIRN_ASSERT_OK(engine_->DeleteCheckpoint(*Ref::Parse(absl::StrCat("run@", n))));
    faults_->Arm({n, absl::UnavailableError("injected")});
    const absl::StatusOr<GarbageReport> report = Collect();
    if (n == 0) calls = faults_->calls();
    EXPECT_EQ(report.ok(), n == 0) << n;
    faults_->Arm({});
    CAIRN_ASSERT_OK(Collect());
    EXPECT_EQ(ObjectCount(), objects) << n;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("kept"));
    EXPECT_EQ(loaded, Bytes(kept));
  }
}

}  // namespace
}  // namespace cairn::testing
