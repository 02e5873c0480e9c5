#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "tests/integration/daemon_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;


class RunningDaemonTest : public DaemonTest {};

TEST_F(RunningDaemonTest, CommittedCheckpointsSurviveARestart) {
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", "abc"));
  CAIRN_ASSERT_OK(client_->SetTag({.ref = "run@1", .tag = "best"}));
  EXPECT_EQ(daemon_.Stop(), 0);
  daemon_.Start();
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load({.ref = "run@best"}));
  EXPECT_EQ(loaded.at("w"), "abc");
}

TEST_F(RunningDaemonTest, TagsMoveAndLatestIsComputed) {
  for (int64_t step : {1, 10, 2}) CAIRN_ASSERT_OK(SaveOne("run", step, "w", std::to_string(step)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto latest, client_->GetCheckpoint("run@latest"));
  EXPECT_EQ(latest.step, 10);
  CAIRN_ASSERT_OK(client_->SetTag({.ref = "run@1", .tag = "best"}));
  CAIRN_ASSERT_OK(client_->SetTag({.ref = "run@2", .tag = "best"}));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto best, client_->GetCheckpoint("run@best"));
  EXPECT_EQ(best.step, 2);
  CAIRN_ASSERT_OK(client_->DeleteTag({.name = "run", .tag = "best"}));
  EXPECT_THAT(client_->GetCheckpoint("run@best"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("best")));
}

TEST_F(RunningDaemonTest, EachFinishedCallIsOneLogLineWithItsFacts) {
  CAIRN_ASSERT_OK(SaveOne("team/run", 7, "w", std::string(1000, 'x')));
  EXPECT_EQ(daemon_.Stop(), 0);
  const std::string log = daemon_.Log();
  EXPECT_THAT(log, AllOf(HasSubstr("method=PutTensor"), HasSubstr("bytes=1000"), HasSubstr("ref=team/run@7"),
                         HasSubstr("request_id="), HasSubstr("ms="), HasSubstr("code=OK")));
}

TEST_F(RunningDaemonTest, SigtermLetsARunningSaveFinish) {
  client::SaveSpec spec;
  spec.name = "run";
  spec.session_key = "k";
  CAIRN_ASSERT_OK_AND_ASSIGN(auto save, client_->Save(spec));
  // From its answer on the daemon has the stream. One that it has not is refused while it drains.
  CAIRN_ASSERT_OK(save->Put(Tensor("v", Dtype::kUint8, {1}), Bytes("x")));
  CAIRN_ASSERT_OK(save->Flush());
  const std::string bytes = PatternBytes(2 << 20, 1);
  CAIRN_ASSERT_OK(save->StartEntry(Tensor("w", Dtype::kUint8, {2 << 20})));
  CAIRN_ASSERT_OK(save->Append(absl::string_view(bytes).substr(0, 1 << 20)));
  int exit_status = -1;
  std::thread stopping([&] { exit_status = daemon_.Stop(); });
  // The stream that is open may go on.
  while (daemon_.Log().find("draining") == std::string::npos) std::this_thread::yield();
  CAIRN_ASSERT_OK(save->Append(absl::string_view(bytes).substr(1 << 20)));
  CAIRN_ASSERT_OK(save->FinishEntry());
  CAIRN_ASSERT_OK(save->Flush());
  save.reset();
  stopping.join();
  EXPECT_EQ(exit_status, 0);
  daemon_.Start();
  CAIRN_ASSERT_OK_AND_ASSIGN(auto again, client_->Save(spec));
  CAIRN_ASSERT_OK(again->Put(Tensor("w", Dtype::kUint8, {2 << 20}), Bytes(bytes)));
  CAIRN_ASSERT_OK(again->Commit());
  EXPECT_EQ(again->progress().sent_bytes, 0u);
}

TEST_F(RunningDaemonTest, ASecondDaemonOnTheSameDirectoryIsRefusedAndTheFirstGoesOn) {
  DaemonProcess second(folder_.path());
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", "abc"));
  second.Start();
  const int status = second.Wait();
  EXPECT_NE(status, 0);
  EXPECT_THAT(daemon_.Log(), HasSubstr("uses this data directory"));
  CAIRN_ASSERT_OK(Load({.ref = "run"}));
}

TEST_F(RunningDaemonTest, TheSocketOfARunningDaemonIsNotTakenAwayByAnother) {
  const TempDir folder;
  // The last of an option that is given twice counts.
  DaemonProcess second(folder.path(), {"--unix-socket", daemon_.target().substr(5)});
  second.Start();
  EXPECT_NE(second.Wait(), 0);
  EXPECT_THAT(second.Log(), HasSubstr("another process serves there"));
  CAIRN_EXPECT_OK(daemon_.Connect().GetServerInfo());
}

TEST_F(RunningDaemonTest, EachLineOfAJsonLogIsJsonWhateverALibrarySays) {
  const TempDir folder;
  DaemonProcess second(folder.path(), {"--unix-socket", "", "--listen", "nobody.invalid:1", "--log-format", "json"});
  second.Start();
  EXPECT_NE(second.Wait(), 0);
  const std::string log = second.Log();
  EXPECT_THAT(log, AllOf(HasSubstr("cannot listen on nobody.invalid:1"), HasSubstr("\"msg\":\"grpc\"")));
  for (absl::string_view line : absl::StrSplit(log, '\n', absl::SkipEmpty())) {
    EXPECT_EQ(line.substr(0, 8), "{\"time\":") << line;
  }
}

TEST_F(RunningDaemonTest, ALongTextOfACallerDoesNotFillTheLog) {
  EXPECT_FALSE(client_->GetCheckpoint(std::string(1 << 20, 'x')).ok());
  EXPECT_EQ(daemon_.Stop(), 0);
  EXPECT_LT(daemon_.Log().size(), 10'000u);
}

TEST_F(RunningDaemonTest, ADataDirectoryOfANewerVersionIsRefused) {
  EXPECT_EQ(daemon_.Stop(), 0);
  std::ofstream(daemon_.data_dir() + "/VERSION") << "cairn-data 99\n";
  daemon_.Start();
  EXPECT_NE(daemon_.Wait(), 0);
  EXPECT_THAT(daemon_.Log(), AllOf(HasSubstr("99"), HasSubstr("version")));
}

TEST_F(RunningDaemonTest, DamagedObjectsAreDataLossAndFoundByVerification) {
  CAIRN_ASSERT_OK(SaveOne("run", 1, "layer/w", PatternBytes(300'000, 1)));
  // The one object that is not the manifest.
  const std::string find = "find " + daemon_.data_dir() + "/objects -type f -size +100k -exec chmod u+w {} + -exec sh -c "
                           "'printf X | dd of=\"$1\" bs=1 seek=150000 conv=notrunc status=none' _ {} ';'";
  ASSERT_EQ(std::system(find.c_str()), 0);
  EXPECT_THAT(Load({.ref = "run"}), StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("layer/w"), HasSubstr("object"))));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto verified, client_->Verify("run"));
  ASSERT_EQ(verified.problems.size(), 1u);
  EXPECT_EQ(verified.problems[0].path, "layer/w");
}

// Sends one message of bytes to a method and returns the first answer's bytes: neither service needs a generated stub.
absl::StatusOr<std::string> CallRaw(const std::string& target, const std::string& method, const std::string& message) {
  grpc::GenericStub stub(grpc::CreateChannel(target, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  const auto wait = [&] { return queue.Next(&tag, &ok) && ok; };
  auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  wait();
  const grpc::Slice slice(message);
  call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
  wait();
  grpc::ByteBuffer response;
  call->Read(&response, nullptr);
  const bool answered = wait();
  grpc::Slice answer;
  if (answered && !response.DumpToSingleSlice(&answer).ok()) return absl::InternalError("no slice");
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
  if (!status.ok()) return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  return std::string(answer.begin(), answer.end());
}

TEST_F(RunningDaemonTest, HealthAnswersServing) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string answer, CallRaw(daemon_.target(), "/grpc.health.v1.Health/Check", ""));
  EXPECT_EQ(answer, std::string("\x08\x01", 2));  // status: SERVING.
}

TEST_F(RunningDaemonTest, ReflectionNamesTheService) {
  // list_services: "".
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string answer,
                             CallRaw(daemon_.target(), "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                     std::string("\x3a\x00", 2)));
  EXPECT_THAT(answer, HasSubstr("cairn.v1.CheckpointService"));
}

TEST_F(RunningDaemonTest, HostileFramesAreInvalidArgumentAndTheDaemonGoesOn) {
  const std::vector<std::string> frames = {
      std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10),  // No tag.
      std::string("\x7a\xff\xff\xff\x7f", 5),                       // Data that leaves the frame.
      std::string("\x20\x01", 2),                                    // Finish before the stream was opened.
      std::string("\x7a\x01x", 3),                                   // Data without a chunk.
      std::string(200'000, '\x0a'),
  };
  for (const std::string& bytes : frames) {
    EXPECT_THAT(CallRaw(daemon_.target(), "/cairn.v1.CheckpointService/PutTensor", bytes),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  CAIRN_EXPECT_OK(client_->GetServerInfo());
}

TEST_F(RunningDaemonTest, DeletedCheckpointsFreeTheirSpace) {
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", PatternBytes(3 << 20, 1)));
  CAIRN_ASSERT_OK(SaveOne("run", 2, "w", PatternBytes(3 << 20, 2)));
  CAIRN_ASSERT_OK(client_->DeleteCheckpoint("run@1"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto report, client_->CollectGarbage(false));
  EXPECT_GE(report.deleted_bytes, 3u << 20);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load({.ref = "run@2"}));
  EXPECT_EQ(loaded.size(), 1u);
}

// A store on a file system of its own that is full.
class FullDiskTest : public ::testing::Test {};

TEST_F(FullDiskTest, AFullDiskIsResourceExhaustedAndWhatIsThereStaysReadable) {
  TempDir folder;
  const std::string mount = "mount -t tmpfs -o size=24m tmpfs " + folder.path() + " 2>/dev/null";
  if (std::system(mount.c_str()) != 0) GTEST_SKIP() << "needs the right to mount a file system";
  {
    DaemonProcess daemon(folder.path(), {"--object-bytes", "4MiB"});
    daemon.Start();
    client::Client client = daemon.Connect();
    const auto save = [&](int64_t step, uint64_t bytes) -> absl::Status {
      client::SaveSpec spec;
      spec.name = "run";
      spec.step = step;
      auto writer = client.Save(spec);
      if (!writer.ok()) return writer.status();
      absl::Status put = (*writer)->Put(
          Entry::Tensor(KeyPath::Of({"w"}), Dtype::kUint8, {static_cast<int64_t>(bytes)}, bytes),
          client::EntryBytes::Of(Buffer::FromString(PatternBytes(bytes, static_cast<uint64_t>(step)))));
      if (put.ok()) put = (*writer)->Commit().status();
      if (!put.ok()) (void)(*writer)->Abort();
      return put;
    };
    CAIRN_ASSERT_OK(save(1, 4 << 20));
    EXPECT_THAT(save(2, 40 << 20), StatusIs(absl::StatusCode::kResourceExhausted));
    // The aborted save's space comes back, and the daemon goes on.
    CAIRN_ASSERT_OK(client.CollectGarbage(false));
    CAIRN_ASSERT_OK(save(3, 4 << 20));
    for (const char* ref : {"run@1", "run@3"}) {
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto verified, client.Verify(ref));
      EXPECT_TRUE(verified.problems.empty());
    }
  }
  EXPECT_EQ(std::system(("umount " + folder.path()).c_str()), 0);
}

}  // namespace
}  // namespace cairn::testing
