#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "absl/synchronization/mutex.h"
#include "cairn/client.h"
#include "cairn/v1/checkpoint_service.grpc.pb.h"
#include "client/transfer/local_export.h"
#include "client/transfer/local_import.h"
#include "common/base/crc32c.h"
#include "common/base/error_info.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/wire/status_wire.h"
#include "tests/testing/pattern_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn::transfer {
namespace {

namespace fs = std::filesystem;
using client::ConversionResult;
using client::ConvertSpec;

// A daemon that sends or asks for what the test wants.
class ScriptedDaemon final : public v1::CheckpointService::Service {
 public:
  using ExportWriter = grpc::ServerWriter<v1::ExportResponse>;
  using ImportStream = grpc::ServerReaderWriter<v1::ImportResponse, v1::ImportRequest>;

  ScriptedDaemon() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + folder_.path() + "/s", grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~ScriptedDaemon() override { server_->Shutdown(std::chrono::system_clock::now()); }

  client::Client Connect() {
    client::Options options;
    options.initial_backoff = absl::Milliseconds(1);
    options.retry_for = absl::Seconds(20);
    return client::Client::Connect("unix:" + folder_.path() + "/s", options).value();
  }

  std::function<absl::Status(const v1::ExportRequest&, ExportWriter&)> on_export;
  std::function<absl::Status(ImportStream&)> on_import;

  // A client that gives a call up does not wait for its end here, which still uses the script.
  void AwaitIdle() {
    const auto idle = [this] { return running_ == 0; };
    absl::MutexLock lock(&mu_, absl::Condition(&idle));
  }
  int calls() {
    absl::MutexLock lock(&mu_);
    return calls_;
  }

 private:
  template <typename Script>
  grpc::Status Run(Script script) {
    {
      absl::MutexLock lock(&mu_);
      ++calls_;
      ++running_;
    }
    const grpc::Status status = wire::ToGrpcStatus(script());
    absl::MutexLock lock(&mu_);
    --running_;
    return status;
  }
  grpc::Status Export(grpc::ServerContext*, const v1::ExportRequest* request, ExportWriter* writer) override {
    return Run([&] { return on_export(*request, *writer); });
  }
  grpc::Status Import(grpc::ServerContext*, ImportStream* stream) override {
    return Run([&] { return on_import(*stream); });
  }

  absl::Mutex mu_;
  int calls_ = 0;
  int running_ = 0;

  testing::TempDir folder_;
  std::unique_ptr<grpc::Server> server_;
};

v1::ExportResponse Begin(const std::string& name) {
  v1::ExportResponse message;
  message.mutable_file()->set_name(name);
  return message;
}

v1::ExportResponse Bytes(uint32_t number, uint64_t offset, const std::string& bytes) {
  v1::ExportResponse message;
  message.set_number(number);
  message.mutable_chunk()->set_offset(offset);
  message.mutable_chunk()->set_crc32c(Crc32c(bytes));
  message.set_data(bytes);
  return message;
}

v1::ExportResponse Finish(uint32_t number) {
  v1::ExportResponse message;
  message.set_number(number);
  message.set_finish(true);
  return message;
}

v1::ExportResponse Done() {
  v1::ExportResponse message;
  message.mutable_progress()->set_done(true);
  return message;
}

std::string Content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Write(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::vector<std::string> Names(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

class FilesTest : public ::testing::Test {
 protected:
  FilesTest() { fs::create_directory(out_); }

  absl::StatusOr<ConversionResult> Export(const std::string& path, SinkTreeOptions options = {}) {
    auto files = LocalExport::Create(path, options);
    if (!files.ok()) return files.status();
    ConvertSpec spec;
    spec.source.ref = "a@1";
    auto result = daemon_.Connect().Export(spec, **files);
    daemon_.AwaitIdle();
    return result;
  }

  // Sends these messages, then OK.
  absl::Status ExportMessages(const std::string& path, std::vector<v1::ExportResponse> messages, SinkTreeOptions options = {}) {
    daemon_.on_export = [messages](const v1::ExportRequest&, ScriptedDaemon::ExportWriter& writer) {
      for (const auto& message : messages) writer.Write(message);
      return absl::OkStatus();
    };
    return Export(path, options).status();
  }

  absl::Status Import(client::ImportSource& files) {
    ConvertSpec spec;
    spec.target.ref = "a@1";
    const absl::Status status = daemon_.Connect().Import(spec, files).status();
    daemon_.AwaitIdle();
    return status;
  }

  testing::TempDir folder_;
  const std::string out_ = folder_.path() + "/out";
  ScriptedDaemon daemon_;
};

TEST_F(FilesTest, FilesThatMixArriveWhole) {
  CAIRN_EXPECT_OK(ExportMessages(out_ + "/x/", {Begin("a"), Bytes(0, 0, "he"), Begin("sub/b"), Bytes(1, 0, "wor"), Bytes(0, 2, "llo"), Bytes(1, 3, "ld"),
                                          Finish(1), Begin("empty"), Finish(2), Finish(0), Done()}));
  EXPECT_EQ(Content(out_ + "/x/a"), "hello");
  EXPECT_EQ(Content(out_ + "/x/sub/b"), "world");
  EXPECT_EQ(fs::file_size(out_ + "/x/empty"), 0);
}

TEST_F(FilesTest, ADaemonCannotNameFilesOutsideOfTheFolder) {
  fs::create_directory(folder_ / "elsewhere");
  for (const std::string& name : {std::string("../evil"), folder_ / "elsewhere/evil", std::string("a/../../evil"), std::string("."), std::string("..")}) {
    const absl::Status status = ExportMessages(out_ + "/x/", {Begin(name), Bytes(0, 0, "evil"), Finish(0), Done()});
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << name << ": " << status;
  }
  EXPECT_TRUE(Names(out_).empty());
  EXPECT_EQ(Names(folder_.path()), (std::vector<std::string>{"elsewhere", "out"}));
  EXPECT_TRUE(Names(folder_ / "elsewhere").empty());
}

TEST_F(FilesTest, ADaemonCannotLeadThroughLinksOfTheFolder) {
  fs::create_directory(folder_ / "elsewhere");
  fs::create_directory_symlink(folder_ / "elsewhere", out_ + "/link");
  const absl::Status status = ExportMessages(out_ + "/", {Begin("link/evil"), Bytes(0, 0, "evil"), Finish(0), Done()}, {.overwrite = true});
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(Names(folder_ / "elsewhere").empty());
}

TEST_F(FilesTest, WhatMakesNoSenseEndsTheExportAndLeavesNothing) {
  v1::ExportResponse damaged = Bytes(0, 0, "bytes");
  damaged.mutable_chunk()->set_crc32c(damaged.chunk().crc32c() + 1);
  EXPECT_TRUE(absl::IsDataLoss(ExportMessages(out_ + "/x", {Begin(""), damaged, Finish(0), Done()})));
  const std::vector<std::vector<v1::ExportResponse>> broken = {
      {Bytes(0, 0, "x"), Done()},                                              // No such file.
      {Begin(""), Bytes(0, 1, "x"), Finish(0), Done()},                        // A hole.
      {Begin(""), Bytes(0, 0, "x"), Finish(0), Bytes(0, 1, "y"), Done()},      // After its end.
      {Begin(""), Bytes(0, 0, "x"), Done()},                                   // Not finished.
      {Begin(""), Bytes(0, 0, "x"), Finish(0)},                                // Not done.
      {Begin(""), Finish(1), Done()},
      {},
  };
  for (const auto& messages : broken) {
    const absl::Status status = ExportMessages(out_ + "/x", messages);
    EXPECT_TRUE(absl::IsInternal(status)) << status;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(ExportMessages(out_ + "/x", {Begin(""), Begin("also"), Done()})));
  EXPECT_TRUE(Names(out_).empty());
}

TEST_F(FilesTest, AnExportThatBreaksOffGoesOnBehindWhatHasCome) {
  std::vector<v1::ExportRequest> requests;
  daemon_.on_export = [&](const v1::ExportRequest& request, ScriptedDaemon::ExportWriter& writer) -> absl::Status {
    requests.push_back(request);
    v1::ExportResponse header;
    header.mutable_checkpoint()->set_uid("u1");
    writer.Write(header);
    if (requests.size() == 1) {
      writer.Write(Begin("a"));
      writer.Write(Bytes(0, 0, "hello"));
      writer.Write(Finish(0));
      writer.Write(Begin("b"));
      writer.Write(Bytes(1, 0, "wo"));
      return absl::UnavailableError("a restart");
    }
    writer.Write(Bytes(1, 2, "rld"));
    writer.Write(Finish(1));
    writer.Write(Done());
    return absl::OkStatus();
  };
  const auto done = Export(out_ + "/x/");
  CAIRN_ASSERT_OK(done.status());
  EXPECT_EQ(done->checkpoint->uid, "u1");
  EXPECT_EQ(Content(out_ + "/x/a") + Content(out_ + "/x/b"), "helloworld");
  ASSERT_EQ(requests.size(), 2);
  EXPECT_EQ(requests[0].conversion().source().ref(), "a@1");
  EXPECT_EQ(requests[1].conversion().source().ref(), "uid:u1");
  EXPECT_EQ(requests[1].skip_marks(), 3);
  EXPECT_EQ(requests[1].skip_bytes(), 7);
  EXPECT_EQ(requests[1].skip_crc32c(), Crc32c("hellowo"));
}

TEST_F(FilesTest, AnExportWhoseBytesAreOthersNowBeginsAnew) {
  std::vector<v1::ExportRequest> requests;
  daemon_.on_export = [&](const v1::ExportRequest& request, ScriptedDaemon::ExportWriter& writer) -> absl::Status {
    requests.push_back(request);
    if (requests.size() == 2) return WithErrorInfo(absl::FailedPreconditionError("others"), {"EXPORT_CHANGED", {}});
    writer.Write(Begin(""));
    writer.Write(Bytes(0, 0, requests.size() == 1 ? "old" : "newer"));
    if (requests.size() == 1) return absl::UnavailableError("a restart");
    writer.Write(Finish(0));
    writer.Write(Done());
    return absl::OkStatus();
  };
  CAIRN_ASSERT_OK(Export(out_ + "/x").status());
  EXPECT_EQ(Content(out_ + "/x"), "newer");
  EXPECT_EQ(requests.size(), 3);
  EXPECT_EQ(requests[2].skip_bytes(), 0);
}

TEST_F(FilesTest, WhatIsThereIsReplacedOnlyOnRequestAndAtTheEnd) {
  Write(out_ + "/x", "old");
  EXPECT_TRUE(absl::IsAlreadyExists(Export(out_ + "/x").status()));
  EXPECT_EQ(daemon_.calls(), 0);
  EXPECT_FALSE(ExportMessages(out_ + "/x", {Begin(""), Bytes(0, 0, "half")}, {.overwrite = true}).ok());
  EXPECT_EQ(Content(out_ + "/x"), "old");
  CAIRN_EXPECT_OK(ExportMessages(out_ + "/x", {Begin(""), Bytes(0, 0, "new"), Finish(0), Done()}, {.overwrite = true}));
  EXPECT_EQ(Content(out_ + "/x"), "new");
}

TEST_F(FilesTest, TheDaemonIsToldNoMoreThanTheName) {
  v1::ExportRequest seen;
  daemon_.on_export = [&](const v1::ExportRequest& request, ScriptedDaemon::ExportWriter&) -> absl::Status {
    seen = request;
    return absl::InvalidArgumentError("enough");
  };
  Export(out_ + "/model.safetensors").IgnoreError();
  EXPECT_EQ(seen.conversion().target().path(), "model.safetensors");
  Write(out_ + "/a", "");
  Export(out_, {.overwrite = true}).IgnoreError();
  EXPECT_EQ(seen.conversion().target().path(), "out/");
  ASSERT_EQ(seen.existing_files_size(), 1);
  EXPECT_EQ(seen.existing_files(0), "a");
}

TEST_F(FilesTest, AnImportListsRegularFilesOfAllFolders) {
  fs::create_directories(out_ + "/sub/deep");
  Write(out_ + "/b", "bb");
  Write(out_ + "/sub/deep/c", "ccc");
  Write(folder_ / "blob", "blob");
  fs::create_symlink(folder_ / "blob", out_ + "/link");          // As in the cache of Hugging Face.
  fs::create_symlink(folder_ / "nothing", out_ + "/dangling");
  fs::create_directory_symlink(folder_.path(), out_ + "/up");    // Not followed: it would never end.
  ::mkfifo((out_ + "/pipe").c_str(), 0600);
  const auto files = LocalImport::Open(out_).value();
  std::vector<std::string> names;
  for (const auto& file : files->files()) names.push_back(absl::StrCat(file.name, " ", file.size));
  EXPECT_EQ(names, (std::vector<std::string>{"b 2", "link 4", "sub/deep/c 3"}));
  EXPECT_EQ(files->name(), "out");
  EXPECT_TRUE(absl::IsInvalidArgument(LocalImport::Open(out_ + "/pipe").status()));
  EXPECT_TRUE(absl::IsNotFound(LocalImport::Open(out_ + "/none").status()));
}

TEST_F(FilesTest, OnlyAnIndexHasNeighbours) {
  Write(out_ + "/x.index.json", "{}");
  Write(out_ + "/x.safetensors", "s");
  EXPECT_EQ(LocalImport::Open(out_ + "/x.safetensors").value()->files().size(), 1);
  EXPECT_EQ(LocalImport::Open(out_ + "/x.safetensors", /*beside=*/true).value()->files().size(), 3);
  const auto index = LocalImport::Open(out_ + "/x.index.json").value();
  ASSERT_EQ(index->files().size(), 3);
  EXPECT_EQ(index->files()[0].name, "");
  EXPECT_EQ(index->files()[2].name, "x.safetensors");
  EXPECT_TRUE(index->files()[2].beside);
}

TEST_F(FilesTest, AFileThatChangesEndsTheImport) {
  const std::string path = out_ + "/x";
  for (const std::string& now : {std::string("shorter"), std::string("much longer than before"), std::string("other bytes.")}) {
    Write(path, "twelve bytes");
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(1));
    const auto files = LocalImport::Open(path).value();
    std::string bytes(12, '\0');
    CAIRN_EXPECT_OK(files->ReadAt(0, 0, absl::MakeSpan(bytes)));
    Write(path, now);
    const absl::Status status = files->ReadAt(0, 0, absl::MakeSpan(bytes));
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  }
  Write(path, "x");
  const auto files = LocalImport::Open(path).value();
  fs::remove(path);
  ::mkfifo(path.c_str(), 0600);
  std::string bytes(1, '\0');
  EXPECT_FALSE(files->ReadAt(0, 0, absl::MakeSpan(bytes)).ok());
}

v1::ImportResponse Read(uint64_t id, uint32_t file, uint64_t offset, uint32_t length) {
  v1::ImportResponse message;
  v1::ImportResponse::Read* read = message.add_reads();
  read->set_read(id);
  read->set_file(file);
  read->set_offset(offset);
  read->set_length(length);
  return message;
}

TEST_F(FilesTest, AnImportAnswersWhatItIsAskedFor) {
  const std::string content = testing::PatternBytes(3 << 20, 1);
  Write(out_ + "/x", content);
  daemon_.on_import = [&](ScriptedDaemon::ImportStream& stream) -> absl::Status {
    v1::ImportRequest request;
    stream.Read(&request);
    EXPECT_EQ(request.open().files(0).size(), content.size());
    EXPECT_EQ(request.open().conversion().source().path(), "x");
    EXPECT_FALSE(request.open().conversion().session_key().empty());
    // The larger one is larger than a block.
    stream.Write(Read(1, 0, 100, 50));
    stream.Write(Read(2, 0, 1 << 20, 2 << 20));
    for (int i = 0; i < 2 && stream.Read(&request); ++i) {
      const std::string wanted = request.read() == 1 ? content.substr(100, 50) : content.substr(1 << 20, 2 << 20);
      EXPECT_TRUE(request.data() == wanted);
      EXPECT_EQ(request.chunk().crc32c(), Crc32c(wanted));
    }
    v1::ImportResponse done;
    done.mutable_progress()->set_done(true);
    done.mutable_progress()->mutable_checkpoint()->set_uid("u");
    stream.Write(done);
    return absl::OkStatus();
  };
  const auto files = LocalImport::Open(out_ + "/x").value();
  CAIRN_EXPECT_OK(Import(*files));
}

TEST_F(FilesTest, ADaemonThatAsksForWhatIsNotThereIsGivenUp) {
  Write(out_ + "/x", "0123456789");
  const auto files = LocalImport::Open(out_ + "/x").value();
  for (const auto& read : {Read(1, 1, 0, 1), Read(1, 0, 5, 6), Read(1, 0, UINT64_MAX, 2), Read(1, 0, 0, 0)}) {
    daemon_.on_import = [&](ScriptedDaemon::ImportStream& stream) -> absl::Status {
      v1::ImportRequest request;
      stream.Read(&request);
      stream.Write(read);
      EXPECT_FALSE(stream.Read(&request));  // Cancelled.
      return absl::OkStatus();
    };
    const absl::Status status = Import(*files);
    EXPECT_TRUE(absl::IsInternal(status)) << status;
  }
}

TEST_F(FilesTest, AnImportThatBreaksOffIsMadeAgainUnderItsKey) {
  Write(out_ + "/x", "0123456789");
  std::vector<std::string> keys;
  daemon_.on_import = [&](ScriptedDaemon::ImportStream& stream) -> absl::Status {
    v1::ImportRequest request;
    stream.Read(&request);
    keys.push_back(request.open().conversion().session_key());
    if (keys.size() < 3) return absl::UnavailableError("a restart");
    v1::ImportResponse done;
    done.mutable_progress()->set_done(true);
    stream.Write(done);
    return absl::OkStatus();
  };
  CAIRN_EXPECT_OK(Import(*LocalImport::Open(out_ + "/x").value()));
  ASSERT_EQ(keys.size(), 3);
  EXPECT_EQ(keys[0], keys[2]);
}

}  // namespace
}  // namespace cairn::transfer
