// Parents that go away, saves that break off, calls that fail: a child is whole, or not there.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/unit/server/engine/delta_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(DeltaTest, AChildOutlivesItsParents) {
  std::vector<TestTensor> model = {MakeWeights("w", {64, 64}, 1), MakeWeights("frozen", {64, 64}, 2)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  for (int64_t step = 2; step <= 5; ++step) {
    ChangeOneOf(50, static_cast<uint32_t>(step), model[0]);
    CAIRN_ASSERT_OK(SaveChild("run", step, absl::StrCat("run@", step - 1), model));
  }
  for (int64_t step = 1; step <= 4; ++step) {
    DeleteAndCollect(absl::StrCat("run@", step));
    ExpectWhole("run@5", model);
  }
  Restart();
  CAIRN_ASSERT_OK(Collect());
  ExpectWhole("run@5", model);
  DeleteAndCollect("run@5");
  EXPECT_EQ(ObjectCount(), 0u) << "the last one takes all of them with it";
}

TEST_F(DeltaTest, AParentMayGoWhileItsChildIsBeingSaved) {
  std::vector<TestTensor> model = {MakeWeights("a", {64, 64}, 1), MakeWeights("b", {64, 64}, 2)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  for (TestTensor& tensor : model) ChangeOneOf(50, 3, tensor);
  CAIRN_ASSERT_OK(SaveChild("run", 2, "run@1", model));
  for (TestTensor& tensor : model) ChangeOneOf(50, 4, tensor);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, BeginChild("run", 3, "run@2"));
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto upload, engine_->OpenUpload(session, 0));
    CAIRN_ASSERT_OK(PutEntry(*upload, model[0].entry, std::nullopt, model[0].bytes));
    CAIRN_ASSERT_OK(upload->Settle());
    // Some of it is placed. The upload holds the parent for what is to come.
    DeleteAndCollect("run@1");
    DeleteAndCollect("run@2");
    CAIRN_ASSERT_OK(PutEntry(*upload, model[1].entry, std::nullopt, model[1].bytes));
    CAIRN_ASSERT_OK(upload->Flush());
  }
  // From here on nothing but the session needs what the parent is made of.
  clock_.Advance(absl::Minutes(6));
  CAIRN_ASSERT_OK(engine_->Maintain());
  CAIRN_ASSERT_OK(Collect());
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, Commit(session));
  EXPECT_LT(row.new_bytes * 4, row.logical_bytes);
  CAIRN_ASSERT_OK(Collect());
  EXPECT_GT(ChainsOf("run@3").deepest, 1u);
  ExpectWhole("run@3", model);
}

TEST_F(DeltaTest, ASaveWhoseParentIsGoneBeforeItsBytesComeStoresThemWhole) {
  std::vector<std::string> notices;
  options_.notice = [&](absl::string_view text) { notices.emplace_back(text); };
  Restart();
  std::vector<TestTensor> model = {MakeWeights("w", {64, 64}, 1)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  ChangeOneOf(50, 3, model[0]);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, BeginChild("run", 2, "run@1"));
  DeleteAndCollect("run@1");
  CAIRN_ASSERT_OK(PutAll(session, 0, model));
  CAIRN_ASSERT_OK(Commit(session));
  EXPECT_EQ(ChainsOf("run@2").deltas, 0u);
  ExpectWhole("run@2", model);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_THAT(notices[0], HasSubstr("run@2 goes on without its parent"));
}

TEST_F(DeltaTest, AnOverwriteMayHaveTheOverwrittenAsItsParent) {
  std::vector<TestTensor> model = {MakeWeights("w", {64, 64}, 1)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  for (uint32_t round = 0; round < 4; ++round) {
    ChangeOneOf(50, round, model[0]);
    CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, SaveChild("run", 1, "run@1", model, /*overwrite=*/true));
    EXPECT_LT(row.new_bytes * 4, row.logical_bytes);
    clock_.Advance(absl::Minutes(6));
    CAIRN_ASSERT_OK(engine_->Maintain());
    CAIRN_ASSERT_OK(Collect());
    ExpectWhole("run@1", model);
  }
}

TEST_F(DeltaTest, APreviousStepIsTheHighestBelowWhicheverThatIs) {
  std::vector<TestTensor> model = {MakeWeights("w", {64, 64}, 1)};
  const auto save = [&](int64_t step) -> absl::StatusOr<CheckpointRow> {
    SessionSpec spec;
    spec.name = "run";
    spec.step = step;
    spec.client_key = absl::StrCat("key ", step);
    absl::StatusOr<Session> session = engine_->BeginSave(spec, /*parent_is_previous=*/true);
    if (!session.ok()) return session.status();
    absl::Status put = PutAll(session->id, 0, model);
    if (!put.ok()) return put;
    return Commit(session->id);
  };
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow first, save(10));
  EXPECT_EQ(first.parent, "");
  ChangeOneOf(50, 1, model[0]);
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow later, save(30));
  EXPECT_EQ(later.parent, first.uid);
  EXPECT_LT(later.new_bytes * 4, later.logical_bytes);
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow between, save(20));
  EXPECT_EQ(between.parent, first.uid);
  SessionSpec both{.name = "run", .step = 40, .client_key = "both", .parent = "run@10"};
  EXPECT_THAT(engine_->BeginSave(both, true), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DeltaTest, ABrokenSaveGoesOnAndItsParentMayBeGoneByThen) {
  for (const bool parent_goes : {false, true}) {
    const int64_t step = parent_goes ? 20 : 10;
    std::vector<TestTensor> model = {MakeWeights("w", {100, 128}, 1)};
    CAIRN_ASSERT_OK(Save("run", step, model));
    const std::string parent = absl::StrCat("run@", step);
    ChangeOneOf(50, 3, model[0]);
    SessionSpec spec{.name = "run", .step = step + 1, .client_key = parent, .parent = parent};
    CAIRN_ASSERT_OK_AND_ASSIGN(const Session session, engine_->BeginSave(spec));
    {
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto upload, engine_->OpenUpload(session.id, 0));
      CAIRN_ASSERT_OK(upload->Declare(model[0].entry, std::nullopt, 0));
      CAIRN_ASSERT_OK(Send(*upload, 0, absl::string_view(model[0].bytes).substr(0, 10'000)));
      CAIRN_ASSERT_OK(upload->Flush());
      CAIRN_ASSERT_OK(Send(*upload, 10'000, absl::string_view(model[0].bytes).substr(10'000, 5000)));
    }
    Restart();
    if (parent_goes) DeleteAndCollect(parent);
    CAIRN_ASSERT_OK_AND_ASSIGN(const Session again, engine_->BeginSave(spec));
    EXPECT_EQ(again.id, session.id);
    CAIRN_ASSERT_OK_AND_ASSIGN(const SaveStatus status, engine_->GetSaveStatus(session.id, 0));
    ASSERT_EQ(status.shards.size(), 1u);
    const uint64_t durable = status.shards[0].second.durable_bytes;
    EXPECT_EQ(durable, 9216u);
    {
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto upload, engine_->OpenUpload(session.id, 0));
      CAIRN_ASSERT_OK(upload->Declare(model[0].entry, std::nullopt, durable));
      CAIRN_ASSERT_OK(Send(*upload, durable, absl::string_view(model[0].bytes).substr(durable)));
      CAIRN_ASSERT_OK(upload->FinishEntry());
      CAIRN_ASSERT_OK(upload->Flush());
    }
    CAIRN_ASSERT_OK(Commit(session.id));
    CAIRN_ASSERT_OK(Collect());
    EXPECT_EQ(ChainsOf(absl::StrCat("run@", step + 1)).deepest, 1u);
    ExpectWhole(absl::StrCat("run@", step + 1), model);
  }
}

// Two streams of a writer whose network broke: both made something durable, one with deltas and one without.
TEST_F(DeltaTest, BytesThatCameTwiceAreTakenOnce) {
  std::vector<TestTensor> model = {MakeWeights("w", {64, 64}, 1)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  ChangeOneOf(50, 3, model[0]);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, BeginChild("run", 2, "run@1"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto first, engine_->OpenUpload(session, 0));
  options_.upload.max_delta_chain = 0;
  const auto other = std::move(engine_);
  Restart();
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto second, engine_->OpenUpload(session, 0));
  for (Upload* upload : {first.get(), second.get()}) {
    CAIRN_ASSERT_OK(upload->Declare(model[0].entry, std::nullopt, 0));
    CAIRN_ASSERT_OK(Send(*upload, 0, model[0].bytes));
    CAIRN_ASSERT_OK(upload->FinishEntry());
  }
  CAIRN_ASSERT_OK(second->Flush());
  CAIRN_ASSERT_OK(first->Flush());
  CAIRN_ASSERT_OK(Commit(session));
  EXPECT_THAT(ManifestOf("run@2")->bases, IsEmpty()) << "of what nobody refers to nothing is kept";
  ExpectWhole("run@2", model);
}

TEST_F(DeltaTest, EachFailedCallOfASaveOrALoadIsItsErrorAndTheNextTryWorks) {
  std::vector<TestTensor> model = {MakeWeights("a", {64, 16}, 1), MakeWeights("b", {60, 60}, 2)};
  CAIRN_ASSERT_OK(Save("run", 0, model));
  for (int64_t step = 1; step <= 2; ++step) {
    for (TestTensor& tensor : model) ChangeOneOf(50, static_cast<uint32_t>(step), tensor);
    CAIRN_ASSERT_OK(SaveChild("run", step, absl::StrCat("run@", step - 1), model));
  }
  const std::vector<TestTensor> parent = model;
  for (TestTensor& tensor : model) ChangeOneOf(50, 7, tensor);
  int64_t calls = 1;
  for (int64_t n = 0; n <= calls; ++n) {
    Restart();  // Nothing cached.
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, BeginChild("run", 100 + n, "run@2"));
    faults_->Arm({n, absl::UnavailableError("injected")});
    absl::Status put = PutAll(session, 0, model);
    if (put.ok()) put = Commit(session).status();
    if (n == 0) calls = faults_->calls();
    faults_->Arm({});
    EXPECT_EQ(put.code(), n == 0 ? absl::StatusCode::kOk : absl::StatusCode::kUnavailable) << n << ": " << put;
    if (n > 0) {
      EXPECT_THAT(Load(absl::StrCat("run@", 100 + n)), StatusIs(absl::StatusCode::kNotFound));
      CAIRN_ASSERT_OK(engine_->AbortSave(session));
    }
  }
  EXPECT_GT(calls, 30) << "each base is read";
  CAIRN_ASSERT_OK(Collect());
  for (int64_t n = 0, of_load = 1; n <= of_load; ++n) {
    Restart();
    faults_->Arm({n, absl::UnavailableError("injected")});
    const absl::Status loaded = Load("run@100").status();
    if (n == 0) of_load = faults_->calls();
    EXPECT_EQ(loaded.code(), n == 0 ? absl::StatusCode::kOk : absl::StatusCode::kUnavailable) << n;
    faults_->Arm({});
  }
  ExpectWhole("run@100", model);
  ExpectWhole("run@2", parent);
}

}  // namespace
}  // namespace cairn::testing
