#include <grpcpp/grpcpp.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "cairn/v1/checkpoint_service.grpc.pb.h"
#include "common/base/error_info.h"
#include "gmock/gmock.h"
#include "tests/integration/daemon_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

class SaveTest : public DaemonTest {};

TEST_F(SaveTest, SixteenWritersAtOnceFillOneCheckpoint) {
  constexpr uint32_t kWriters = 16;
  const TestModel model(1, kWriters);
  client::SaveSpec spec;
  spec.name = "team/run";
  spec.step = 5;
  spec.writers = kWriters;
  spec.session_key = "k";
  spec.auto_commit = true;
  std::vector<std::thread> threads;
  std::vector<absl::Status> results(kWriters);
  for (uint32_t writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&, writer] {
      auto save = client_->Save(spec, writer);
      results[writer] = save.ok() ? model.Put(**save, writer) : save.status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) CAIRN_EXPECT_OK(result);
  CAIRN_ASSERT_OK(model.Check(*client_, "team/run@5"));
}

TEST_F(SaveTest, AnotherProcessWithTheSameKeySendsNothingTwice) {
  client::SaveSpec spec;
  spec.name = "run";
  spec.step = 1;
  spec.session_key = "resume-me";
  const std::string bytes = PatternBytes(5 << 20, 3);
  const Entry entry = Tensor("w", Dtype::kUint8, {5 << 20});
  {
    CAIRN_ASSERT_OK_AND_ASSIGN(auto save, client_->Save(spec));
    CAIRN_ASSERT_OK(save->StartEntry(entry));
    CAIRN_ASSERT_OK(save->Append(absl::string_view(bytes).substr(0, 3 << 20)));
    CAIRN_ASSERT_OK(save->Flush());
  }
  daemon_.Kill();
  daemon_.Start();
  CAIRN_ASSERT_OK_AND_ASSIGN(auto save, client_->Save(spec));
  CAIRN_ASSERT_OK(save->Put(entry, Bytes(bytes)));
  CAIRN_ASSERT_OK(save->Commit());
  EXPECT_LE(save->progress().sent_bytes + save->progress().skipped_bytes, bytes.size());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load({.ref = "run"}));
  EXPECT_EQ(loaded.at("w"), bytes);
}

TEST_F(SaveTest, EachPageFitsIntoWhatAnyClientTakes) {
  constexpr int kShards = 1500;
  client::SaveSpec spec;
  spec.name = "run";
  spec.session_key = "k";
  spec.metadata = {{"note", std::string(60'000, 'x')}};
  CAIRN_ASSERT_OK_AND_ASSIGN(auto save, client_->Save(spec));
  for (int i = 0; i < kShards; ++i) {
    CAIRN_ASSERT_OK(save->Put(Tensor(absl::StrCat(std::string(4000, 'x'), i), Dtype::kUint8, {1}), Bytes("x")));
  }
  CAIRN_ASSERT_OK(save->Flush());

  // With gRPC's own limits, unlike our client's.
  const auto stub =
      v1::CheckpointService::NewStub(grpc::CreateChannel(daemon_.target(), grpc::InsecureChannelCredentials()));
  v1::GetSaveStatusRequest request;
  request.set_session_id(save->session().session_id);
  int shards = 0;
  do {
    grpc::ClientContext context;
    v1::GetSaveStatusResponse page;
    const grpc::Status status = stub->GetSaveStatus(&context, request, &page);
    ASSERT_TRUE(status.ok()) << status.error_message();
    shards += page.shards_size();
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(shards, kShards);

  CAIRN_ASSERT_OK(save->Commit());
  for (spec.step = 1; spec.step < 80; ++spec.step) {
    spec.session_key = absl::StrCat("k", spec.step);
    CAIRN_ASSERT_OK_AND_ASSIGN(auto more, client_->Save(spec));
    CAIRN_ASSERT_OK(more->Commit());
  }
  v1::ListCheckpointsRequest list;
  int checkpoints = 0;
  do {
    grpc::ClientContext context;
    v1::ListCheckpointsResponse page;
    const grpc::Status status = stub->ListCheckpoints(&context, list, &page);
    ASSERT_TRUE(status.ok()) << status.error_message();
    checkpoints += page.checkpoints_size();
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  EXPECT_EQ(checkpoints, 80);
}

TEST_F(SaveTest, AnExistingStepIsRefusedAtTheBeginning) {
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", "abc"));
  EXPECT_THAT(SaveOne("run", 1, "w", "xyz"), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("run@1")));
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", "xyz", /*overwrite=*/true));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load({.ref = "run@1"}));
  EXPECT_EQ(loaded.at("w"), "xyz");
}

TEST_F(SaveTest, AHoleIsRefusedWithItsBoxInTheDetails) {
  client::SaveSpec spec;
  spec.name = "run";
  CAIRN_ASSERT_OK_AND_ASSIGN(auto save, client_->Save(spec));
  CAIRN_ASSERT_OK(save->PutShard(Tensor("a/w", Dtype::kUint8, {4, 4}), Box{{0, 0}, {4, 3}}, Bytes(std::string(12, 'x'))));
  const absl::Status refused = save->Commit().status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("a/w")));
  const ErrorInfo info = GetErrorInfo(refused);
  EXPECT_EQ(info.reason, "TENSOR_HOLE");
  EXPECT_EQ(info.metadata.at("box"), "[0:4, 3:4]");
  EXPECT_THAT(client_->GetCheckpoint("run"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SaveTest, ReadersOfAnOverwrittenStepNeverSeeAMixture) {
  const std::string first(1 << 20, 'a'), second(1 << 20, 'b');
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", first));
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < 20; ++i) CAIRN_EXPECT_OK(SaveOne("run", 1, "w", i % 2 == 0 ? second : first, /*overwrite=*/true));
    done = true;
  });
  int loads = 0;
  while (!done) {
    absl::StatusOr<std::map<std::string, std::string>> loaded = Load({.ref = "run@1"});
    CAIRN_EXPECT_OK(loaded);
    if (loaded.ok()) {
      EXPECT_TRUE(loaded->at("w") == first || loaded->at("w") == second);
    }
    ++loads;
  }
  writer.join();
  EXPECT_GT(loads, 0);
}

}  // namespace
}  // namespace cairn::testing
