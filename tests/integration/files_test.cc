// Export and Import message by message, against a real daemon: what a client may do wrong, or not do at all.
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cairn/v1/checkpoint_service.grpc.pb.h"
#include "common/base/crc32c.h"
#include "common/base/error_info.h"
#include "grpcpp/grpcpp.h"
#include "proto/wire/status_wire.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/testing/pattern_bytes.h"

namespace cairn::testing {
namespace {

constexpr int kFileThreads = 4;  // Of the daemon.

// A safetensors file with one tensor.
std::string Safetensors(const std::string& data) {
  std::string header = absl::StrCat(R"({"w":{"dtype":"U8","shape":[)", data.size(), R"(],"data_offsets":[0,)", data.size(), "]}}");
  header.resize((header.size() + 7) / 8 * 8, ' ');
  std::string file(8, '\0');
  for (int i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> (8 * i));
  return file + header + data;
}

class FilesTest : public DaemonTest {
 protected:
  using Stream = grpc::ClientReaderWriter<v1::ImportRequest, v1::ImportResponse>;

  explicit FilesTest(std::vector<std::string> flags = {"--extent-bytes", "64KiB", "--max-chunk-bytes", "64KiB"})
      : DaemonTest(std::move(flags)),
        stub_(v1::CheckpointService::NewStub(grpc::CreateChannel(daemon_.target(), grpc::InsecureChannelCredentials()))) {}

  static v1::ImportRequest Open(const std::string& ref, std::vector<std::pair<std::string, uint64_t>> files) {
    v1::ImportRequest request;
    request.mutable_open()->mutable_conversion()->mutable_source()->set_path("client");
    request.mutable_open()->mutable_conversion()->mutable_target()->set_ref(ref);
    for (const auto& [name, size] : files) {
      v1::ImportRequest::File* file = request.mutable_open()->add_files();
      file->set_name(name);
      file->set_size(size);
    }
    return request;
  }

  static v1::ImportRequest Answer(const v1::ImportResponse::Read& read, const std::string& file) {
    v1::ImportRequest request;
    request.set_read(read.read());
    request.mutable_chunk()->set_offset(read.offset());
    request.set_data(file.substr(read.offset(), read.length()));
    request.mutable_chunk()->set_crc32c(Crc32c(request.data()));
    return request;
  }

  // Imports a lone file; `change` may spoil each answer, or send none by saying false.
  absl::Status Import(const std::string& ref, const std::string& file, const std::function<bool(v1::ImportRequest&)>& change) {
    grpc::ClientContext context;
    const std::unique_ptr<Stream> stream = stub_->Import(&context);
    stream->Write(Open(ref, {{"", file.size()}}));
    v1::ImportResponse response;
    while (stream->Read(&response)) {
      for (const auto& read : response.reads()) {
        EXPECT_LE(read.length(), 64u << 10);
        v1::ImportRequest answer = Answer(read, file);
        if (change(answer)) stream->Write(answer);
      }
    }
    return wire::FromGrpcStatus(stream->Finish());
  }

  absl::Status Refusal(const v1::ImportRequest& first) {
    grpc::ClientContext context;
    const std::unique_ptr<Stream> stream = stub_->Import(&context);
    stream->Write(first);
    v1::ImportResponse response;
    while (stream->Read(&response)) {
    }
    return wire::FromGrpcStatus(stream->Finish());
  }

  const std::unique_ptr<v1::CheckpointService::Stub> stub_;
  const std::string data_ = PatternBytes(3 << 20, 1);
  const std::string file_ = Safetensors(data_);
};

TEST_F(FilesTest, AClientThatAnswersRightlyHasItsCheckpoint) {
  CAIRN_ASSERT_OK(Import("a@1", file_, [](auto&) { return true; }));
  const auto loaded = Load({.ref = "a@1"});
  CAIRN_ASSERT_OK(loaded);
  EXPECT_TRUE(loaded->at("w") == data_);
}

TEST_F(FilesTest, BytesThatAreNotWhatWasAskedForEndTheImport) {
  const auto spoil = [&](const std::function<void(v1::ImportRequest&)>& how) {
    const absl::Status status = Import("a@1", file_, [&](v1::ImportRequest& answer) {
      how(answer);
      return true;
    });
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return GetErrorInfo(status).reason;
  };
  EXPECT_EQ(spoil([](auto& answer) { answer.mutable_data()->at(0) ^= 1; }), "CHUNK_CHECKSUM");
  const auto recompute = [](v1::ImportRequest& answer) { answer.mutable_chunk()->set_crc32c(Crc32c(answer.data())); };
  spoil([&](auto& answer) {
    answer.mutable_data()->pop_back();
    recompute(answer);
  });
  spoil([&](auto& answer) {
    answer.mutable_data()->push_back('x');
    recompute(answer);
  });
  spoil([&](auto& answer) {
    answer.clear_data();
    recompute(answer);
  });
  spoil([](auto& answer) { answer.mutable_chunk()->set_offset(answer.chunk().offset() + 1); });
  spoil([](auto& answer) { answer.set_read(answer.read() + 1000); });
  spoil([](auto& answer) { answer.mutable_open(); });
  EXPECT_TRUE(absl::IsNotFound(client_->GetCheckpoint("a@1").status()));
}

TEST_F(FilesTest, HostileListsAndOpeningsAreRefused) {
  for (const char* name : {"../x", "/etc/passwd", "a/../../x", ".", "a//b"}) {
    const absl::Status status = Refusal(Open("a@1", {{name, 10}}));
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << name << ": " << status;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Refusal(Open("a@1", {{"a", 1}, {"a", 1}}))));
  EXPECT_TRUE(absl::IsInvalidArgument(Refusal(Open("a@1", {}))));
  EXPECT_TRUE(absl::IsInvalidArgument(Refusal(Open("a", {{"", 10}}))));
  EXPECT_TRUE(absl::IsInvalidArgument(Refusal(v1::ImportRequest())));
  v1::ImportRequest answer;
  answer.set_read(1);
  EXPECT_TRUE(absl::IsInvalidArgument(Refusal(answer)));
  v1::ImportRequest path = Open("a@1", {{"", 10}});
  path.mutable_open()->mutable_conversion()->mutable_target()->set_path("/tmp/x");
  EXPECT_TRUE(absl::IsInvalidArgument(Refusal(path)));
  v1::ImportRequest many = Open("a@1", {});
  for (int i = 0; i < 70'000; ++i) many.mutable_open()->add_files()->set_name(absl::StrCat(i));
  EXPECT_TRUE(absl::IsInvalidArgument(Refusal(many)));
}

TEST_F(FilesTest, AFileThatSaysItIsHugeCostsTheDaemonNothing) {
  grpc::ClientContext context;
  const std::unique_ptr<Stream> stream = stub_->Import(&context);
  v1::ImportRequest open = Open("a@1", {{"", uint64_t{1} << 62}});
  open.mutable_open()->mutable_conversion()->mutable_source()->set_format("safetensors");
  stream->Write(open);
  // A header of an absurd length, in whatever is asked for.
  v1::ImportResponse response;
  while (stream->Read(&response)) {
    for (const auto& read : response.reads()) {
      v1::ImportRequest answer;
      answer.set_read(read.read());
      answer.mutable_chunk()->set_offset(read.offset());
      answer.set_data(std::string(read.length(), '\x7f'));
      answer.mutable_chunk()->set_crc32c(Crc32c(answer.data()));
      stream->Write(answer);
    }
  }
  EXPECT_FALSE(wire::FromGrpcStatus(stream->Finish()).ok());
  EXPECT_TRUE(daemon_.Running());
}

TEST_F(FilesTest, AClientThatClosesItsSideTooEarlyIsTold) {
  grpc::ClientContext context;
  const std::unique_ptr<Stream> stream = stub_->Import(&context);
  stream->Write(Open("a@1", {{"", file_.size()}}));
  stream->WritesDone();
  v1::ImportResponse response;
  while (stream->Read(&response)) {
  }
  const absl::Status status = wire::FromGrpcStatus(stream->Finish());
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;

  grpc::ClientContext silent;
  const std::unique_ptr<Stream> none = stub_->Import(&silent);
  none->WritesDone();
  EXPECT_FALSE(none->Read(&response));
  EXPECT_EQ(none->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(FilesTest, ClientsThatVanishLeaveRoomForOthers) {
  for (int i = 0; i < 3 * kFileThreads; ++i) {
    grpc::ClientContext context;
    const std::unique_ptr<Stream> stream = stub_->Import(&context);
    stream->Write(Open(absl::StrCat("gone@", i), {{"", file_.size()}}));
    v1::ImportResponse response;
    ASSERT_TRUE(stream->Read(&response));  // The daemon waits for an answer.
    context.TryCancel();
  }
  CAIRN_ASSERT_OK(Import("a@1", file_, [](auto&) { return true; }));
  for (int i = 0; i < 3 * kFileThreads; ++i) {
    grpc::ClientContext context;
    v1::ExportRequest request;
    request.mutable_conversion()->mutable_source()->set_ref("a@1");
    request.mutable_conversion()->mutable_target()->set_path("out.safetensors");
    const auto stream = stub_->Export(&context, request);
    v1::ExportResponse response;
    ASSERT_TRUE(stream->Read(&response));
    context.TryCancel();
  }
  CAIRN_ASSERT_OK(Import("b@1", file_, [](auto&) { return true; }));
}

TEST_F(FilesTest, AnExportIsRefusedWhatItCannotMean) {
  CAIRN_ASSERT_OK(Import("a@1", file_, [](auto&) { return true; }));
  const auto refusal = [&](const std::function<void(v1::ExportRequest&)>& change) {
    v1::ExportRequest request;
    request.mutable_conversion()->mutable_source()->set_ref("a@1");
    request.mutable_conversion()->mutable_target()->set_path("out.safetensors");
    change(request);
    grpc::ClientContext context;
    const auto stream = stub_->Export(&context, request);
    v1::ExportResponse response;
    while (stream->Read(&response)) {
    }
    return wire::FromGrpcStatus(stream->Finish());
  };
  EXPECT_TRUE(absl::IsInvalidArgument(refusal([](auto& r) { r.mutable_conversion()->mutable_target()->set_ref("b@1"); })));
  EXPECT_TRUE(absl::IsInvalidArgument(refusal([](auto& r) { r.mutable_conversion()->mutable_source()->set_path("/etc/passwd"); })));
  EXPECT_TRUE(absl::IsNotFound(refusal([](auto& r) { r.mutable_conversion()->mutable_source()->set_ref("b@1"); })));
  EXPECT_TRUE(absl::IsInvalidArgument(refusal([](auto& r) { r.mutable_conversion()->mutable_target()->set_format("none"); })));
  EXPECT_EQ(GetErrorInfo(refusal([](auto& r) { r.set_skip_bytes(100); })).reason, "EXPORT_CHANGED");
  EXPECT_EQ(GetErrorInfo(refusal([](auto& r) { r.set_skip_bytes(uint64_t{1} << 60); })).reason, "EXPORT_CHANGED");
  EXPECT_EQ(GetErrorInfo(refusal([](auto& r) { r.set_skip_marks(3); })).reason, "EXPORT_CHANGED");
}

class IdleFilesTest : public FilesTest {
 protected:
  IdleFilesTest() : FilesTest({"--extent-bytes", "64KiB", "--max-chunk-bytes", "64KiB", "--stream-idle-timeout", "1s"}) {}
};

TEST_F(IdleFilesTest, AClientThatSaysNothingIsGivenUpAndMayComeAgain) {
  const absl::Status status = Import("a@1", file_, [](auto&) { return false; });
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  grpc::ClientContext context;
  const std::unique_ptr<Stream> stream = stub_->Import(&context);
  v1::ImportResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  CAIRN_ASSERT_OK(Import("a@1", file_, [](auto&) { return true; }));
}

TEST_F(IdleFilesTest, AClientThatTakesNothingIsGivenUp) {
  // More than the windows of HTTP/2 and all buffers on the way hold.
  CAIRN_ASSERT_OK(SaveOne("a", 1, "w", PatternBytes(64 << 20, 2)));
  grpc::ClientContext context;
  v1::ExportRequest request;
  request.mutable_conversion()->mutable_source()->set_ref("a@1");
  request.mutable_conversion()->mutable_target()->set_path("out.safetensors");
  const auto stream = stub_->Export(&context, request);
  // The daemon says in its log that it gave up.
  const absl::Time until = absl::Now() + absl::Seconds(30);
  while (daemon_.Log().find("took nothing") == std::string::npos && absl::Now() < until) absl::SleepFor(absl::Milliseconds(50));
  EXPECT_NE(daemon_.Log().find("took nothing"), std::string::npos);
  v1::ExportResponse response;
  while (stream->Read(&response)) {
  }
  EXPECT_FALSE(stream->Finish().ok());
}

class ConvertedFilesTest : public FilesTest {
 protected:
  ConvertedFilesTest() : FilesTest({"--file-roots", std::filesystem::temp_directory_path().string()}) {}

  absl::StatusOr<client::ConversionResult> Convert(const std::string& key, const std::string& prefix = "") {
    client::ConvertSpec spec;
    spec.source.ref = "a@1";
    spec.target.path = target_;
    spec.session_key = key;
    spec.prefix = prefix;
    return client_->Convert(spec, nullptr);
  }

  const std::string target_ = folder_ / "out.safetensors";
};

TEST_F(ConvertedFilesTest, AFileThatHasChangedIsNotTheOneThatTheSameKeyWasFor) {
  client::ConvertSpec spec;
  spec.source.path = folder_ / "in.safetensors";
  spec.target.ref = "a@1";
  spec.session_key = "key";
  std::ofstream(spec.source.path) << Safetensors("old");
  CAIRN_ASSERT_OK_AND_ASSIGN(const client::ConversionResult first, client_->Convert(spec, nullptr));
  CAIRN_ASSERT_OK_AND_ASSIGN(const client::ConversionResult again, client_->Convert(spec, nullptr));
  EXPECT_EQ(again.checkpoint->uid, first.checkpoint->uid);
  std::ofstream(spec.source.path) << Safetensors("newer");
  EXPECT_TRUE(absl::IsAlreadyExists(client_->Convert(spec, nullptr).status()));
}

TEST_F(ConvertedFilesTest, ManySmallEntriesAreReportedOnceInAWhileAndNotEach) {
  constexpr int kEntries = 5000;
  std::string header;
  for (int i = 0; i < kEntries; ++i) {
    absl::StrAppend(&header, header.empty() ? "{" : ",", "\"", i, R"(":{"dtype":"U8","shape":[1],"data_offsets":[)", i, ",", i + 1, "]}");
  }
  header.resize((header.size() + 1 + 7) / 8 * 8 - 1, ' ');
  header += "}";
  std::string size(8, '\0');
  for (int i = 0; i < 8; ++i) size[i] = static_cast<char>(header.size() >> (8 * i));
  for (const char* const name : {"a", "b"}) {
    std::ofstream(folder_ / absl::StrCat(name, ".safetensors")) << size << header << std::string(kEntries, name[0]);
  }
  // One each tenth of a second; of a report also those that bring the entries, of which some hundreds fit into one.
  const auto most = [](absl::Time start) { return absl::ToInt64Milliseconds(absl::Now() - start) / 100 + 50; };

  client::DiffSpec diff;
  diff.base.path = folder_ / "a.safetensors";
  diff.target.path = folder_ / "b.safetensors";
  int messages = 0;
  absl::Time start = absl::Now();
  CAIRN_ASSERT_OK_AND_ASSIGN(const client::DiffResult compared, client_->Diff(diff, [&](const client::DiffProgress&) { ++messages; }));
  EXPECT_EQ(compared.entries.size(), static_cast<size_t>(kEntries));
  EXPECT_LE(messages, most(start));

  client::ConvertSpec spec;
  spec.source.path = folder_ / "a.safetensors";
  spec.target.path = target_;
  messages = 0;
  client::ConversionProgress last;
  start = absl::Now();
  const absl::Status converted = client_->Convert(spec, [&](const client::ConversionProgress& progress) {
    ++messages;
    last = progress;
  }).status();
  CAIRN_ASSERT_OK(converted);
  EXPECT_LE(messages, most(start));
  EXPECT_EQ(last.entries_done, static_cast<uint64_t>(kEntries));
}

TEST_F(ConvertedFilesTest, WhoAsksAgainUnderTheSameKeyHasTheAnswerThatWasLost) {
  CAIRN_ASSERT_OK(SaveOne("a", 1, "w", PatternBytes(100'000, 3)));
  CAIRN_ASSERT_OK_AND_ASSIGN(const client::ConversionResult first, Convert("key"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const client::ConversionResult again, Convert("key"));
  EXPECT_EQ(again.progress.bytes_done, first.progress.bytes_done);
  EXPECT_EQ(again.target_format, "safetensors");
  // Nobody else, for nothing else, and not once the file is another.
  EXPECT_TRUE(absl::IsAlreadyExists(Convert("another key").status()));
  EXPECT_TRUE(absl::IsAlreadyExists(Convert("key", "prefix.").status()));
  std::ofstream(target_, std::ios::app) << "x";
  EXPECT_TRUE(absl::IsAlreadyExists(Convert("key").status()));
}

}  // namespace
}  // namespace cairn::testing
