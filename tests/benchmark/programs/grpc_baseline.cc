// What gRPC carries at best over TLS, or in plain text: a stream of messages of one chunk each, sent from memory
// without a copy and thrown away where it arrives, or sent back there (echo; the clock runs until all of it is back). Windows
// are gRPC's own, which grow; the way of sending raw bytes is Cairn's; nothing is checked, stored or put in its place.
//
//   grpc_baseline server --tls-cert cert.pem --tls-key key.pem            says its address, serves until SIGTERM
//   grpc_baseline put --server localhost:40123 --tls-ca cert.pem --bytes 1GiB
//   grpc_baseline get --server localhost:40123 --tls-ca cert.pem --bytes 1GiB
//   grpc_baseline echo --server localhost:40123 --tls-ca cert.pem --bytes 1GiB
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/allocator_tuning.h"
#include "nlohmann/json.hpp"
#include "tests/benchmark/programs/fail.h"
#include "tests/benchmark/programs/payload.h"
#include "tests/benchmark/programs/stopwatch.h"

namespace cairn::benchmark {
namespace {

constexpr uint64_t kChunk = 1 << 20;
constexpr char kPut[] = "/benchmark.Stream/Put";
constexpr char kGet[] = "/benchmark.Stream/Get";
constexpr char kEcho[] = "/benchmark.Stream/Echo";
constexpr char kBytesKey[] = "x-bytes";

struct Flags {
  std::string server = "127.0.0.1:0";
  std::string tls_cert, tls_key, tls_ca;
  uint64_t bytes = 1 << 30;
};

std::string FileText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) FailErrno(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The next chunk of `memory`, borrowed, until `bytes` are sent; the memory is used over and over.
class Source {
 public:
  Source(absl::string_view memory, uint64_t bytes) : memory_(memory), left_(bytes) {}

  bool Next(grpc::ByteBuffer* message) {
    if (left_ == 0) return false;
    const uint64_t length = std::min(kChunk, left_);
    if (at_ + length > memory_.size()) at_ = 0;
    const grpc::Slice slice(const_cast<char*>(memory_.data() + at_), length, [](void*) {});
    *message = grpc::ByteBuffer(&slice, 1);
    at_ += length;
    left_ -= length;
    return true;
  }

 private:
  const absl::string_view memory_;
  uint64_t left_;
  uint64_t at_ = 0;
};

class Served final : public grpc::ServerGenericBidiReactor {
 public:
  Served(grpc::GenericCallbackServerContext* context, absl::string_view memory)
      : is_echo_(context->method() == kEcho), source_(memory, Bytes(context)) {
    if (context->method() == kGet) {
      WriteNext();
    } else {
      StartRead(&message_);
    }
  }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    if (is_echo_) return StartWrite(&message_);
    ReadNext();
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    if (is_echo_) return ReadNext();
    WriteNext();
  }
  void OnDone() override { delete this; }

 private:
  static uint64_t Bytes(grpc::GenericCallbackServerContext* context) {
    uint64_t bytes = 0;
    const auto found = context->client_metadata().find(kBytesKey);
    if (found != context->client_metadata().end()) {
      (void)absl::SimpleAtoi(absl::string_view(found->second.data(), found->second.size()), &bytes);
    }
    return bytes;
  }
  void ReadNext() {
    message_.Clear();
    StartRead(&message_);
  }
  void WriteNext() {
    if (source_.Next(&message_)) {
      StartWrite(&message_);
    } else {
      Finish(grpc::Status::OK);
    }
  }

  const bool is_echo_;
  Source source_;
  grpc::ByteBuffer message_;
};

class Service final : public grpc::CallbackGenericService {
 public:
  explicit Service(absl::string_view memory) : memory_(memory) {}
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    return new Served(context, memory_);
  }

 private:
  const absl::string_view memory_;
};

void Serve(const Flags& flags) {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  Memory memory(64 << 20);
  FillPayload(memory.span(), 1);
  Service service(memory.view());
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (!flags.tls_cert.empty()) {
    grpc::SslServerCredentialsOptions options(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
    options.pem_key_cert_pairs.push_back({FileText(flags.tls_key), FileText(flags.tls_cert)});
    credentials = grpc::SslServerCredentials(options);
  }
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(flags.server, credentials, &port);
  builder.RegisterCallbackGenericService(&service);
  builder.SetMaxReceiveMessageSize(16 << 20);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) Fail(absl::StrCat("cannot serve on ", flags.server));
  const std::string address = absl::StrCat(flags.server.substr(0, flags.server.rfind(':')), ":", port);
  std::printf("%s\n", nlohmann::json{{"address", address}}.dump().c_str());
  std::fflush(stdout);
  int received = 0;
  sigwait(&stop, &received);
  server->Shutdown(std::chrono::system_clock::now());
}

class Call final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Call(grpc::GenericStub* stub, const std::string& method, absl::string_view memory, uint64_t bytes)
      : source_(memory, method == kGet ? 0 : bytes) {
    context_.AddMetadata(kBytesKey, absl::StrCat(bytes));
    stub->PrepareBidiStreamingCall(&context_, method, {}, this);
    WriteNext();
    StartRead(&incoming_);
    StartCall();
  }
  // The bytes that were received.
  uint64_t Await() {
    done_.WaitForNotification();
    if (!status_.ok()) Fail(absl::StrCat("the call failed: ", status_.error_message()));
    return received_;
  }

 private:
  void WriteNext() {
    if (source_.Next(&outgoing_)) {
      StartWrite(&outgoing_);
    } else {
      StartWritesDone();
    }
  }
  void OnWriteDone(bool ok) override {
    if (ok) WriteNext();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    received_ += incoming_.Length();
    incoming_.Clear();
    StartRead(&incoming_);
  }
  void OnDone(const grpc::Status& status) override {
    status_ = status;
    done_.Notify();
  }

  grpc::ClientContext context_;
  Source source_;
  grpc::ByteBuffer outgoing_, incoming_;
  uint64_t received_ = 0;
  grpc::Status status_;
  absl::Notification done_;
};

void RunClient(const Flags& flags, const std::string& method) {
  const bool sends = method != kGet, receives = method != kPut;
  Memory memory(sends ? flags.bytes : 0);
  if (sends) FillPayload(memory.span(), 1);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!flags.tls_ca.empty()) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = FileText(flags.tls_ca);
    credentials = grpc::SslCredentials(options);
  }
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(8 << 20);
  args.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20);
  args.SetInt(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, 4 << 20);
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetInt(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
  const std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(flags.server, credentials, args);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20))) {
    Fail(absl::StrCat("cannot connect to ", flags.server));
  }
  grpc::GenericStub stub(channel);
  const Stopwatch watch;
  const uint64_t received = Call(&stub, method, memory.view(), flags.bytes).Await();
  nlohmann::json result = watch.Read();
  if (receives && received != flags.bytes) Fail(absl::StrCat("received ", received, " bytes instead of ", flags.bytes));
  result["bytes"] = flags.bytes;
  std::printf("%s\n", result.dump().c_str());
}

int Main(int argc, char** argv) {
  TuneAllocator();
  ::setenv("GRPC_EXPERIMENTS", "-tcp_read_chunks", /*overwrite=*/0);
  CLI::App app("A stream of gRPC messages over TLS or in plain text");
  app.require_subcommand(1);
  Flags flags;
  CLI::App* const serve = app.add_subcommand("server", "Serves until SIGTERM");
  serve->add_option("--listen", flags.server);
  serve->add_option("--tls-cert", flags.tls_cert, "PEM file; without it plain text");
  serve->add_option("--tls-key", flags.tls_key);
  CLI::App* const put = app.add_subcommand("put", "Sends");
  CLI::App* const get = app.add_subcommand("get", "Receives");
  CLI::App* const echo = app.add_subcommand("echo", "Sends, and receives the same");
  for (CLI::App* command : {put, get, echo}) {
    command->add_option("--server", flags.server)->required();
    command->add_option("--tls-ca", flags.tls_ca, "PEM file; without it plain text");
    command->add_option("--bytes", flags.bytes)->transform(CLI::AsSizeValue(false));
  }
  CLI11_PARSE(app, argc, argv);
  if (serve->parsed()) {
    Serve(flags);
  } else {
    RunClient(flags, put->parsed() ? kPut : get->parsed() ? kGet : kEcho);
  }
  return 0;
}

}  // namespace
}  // namespace cairn::benchmark

int main(int argc, char** argv) { return cairn::benchmark::Main(argc, argv); }
