#include "server/app/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <sys/stat.h>

#include <cerrno>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/notification.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"
#include "server/app/logging.h"
#include "server/app/socket_path.h"
#include "server/app/tls_credentials.h"
#include "server/app/tls_files.h"
#include "server/app/version.h"
#include "server/registry/sqlite_registry.h"
#include "server/service/checkpoint_service.h"
#include "server/service/service_context.h"
#include "server/store/data_directory.h"
#include "server/store/local_object_store.h"

namespace cairn {
namespace {

constexpr int kCallThreads = 4;
constexpr int kJobThreads = 2;
constexpr int kFileThreads = 4;
constexpr int kMaxMessageBytes = 16 << 20;  // A request with a hundred thousand paths; chunks are limited on their own.

void LogRpc(const RpcRecord& rpc) {
  const bool failed = !rpc.status.ok() && !absl::IsCancelled(rpc.status);
  std::vector<LogField> fields = {
      {"method", rpc.method},
      {"request_id", rpc.request_id},
      {"peer", rpc.peer},
      {"ref", rpc.ref},
      {"bytes", rpc.bytes},
      {"ms", absl::ToDoubleMilliseconds(rpc.duration)},
      {"code", absl::StatusCodeToString(rpc.status.code())},
  };
  if (!rpc.status.ok()) fields.push_back({"error", std::string(rpc.status.message())});
  Log(failed ? LogLevel::kWarning : LogLevel::kInfo, "rpc", fields);
}

bool IsUnix(const std::string& address) { return absl::StartsWith(address, "unix:"); }

// What the memory budget has for writing past the page cache. A part of its own: an upload keeps it from one extent to
// the next, and one that waited for the other kind of memory with this kind in its hands could wait for ever.
uint64_t DirectWriteBytes(const DaemonOptions& options) { return options.memory_budget / 4; }

// Beside the memory budget, for Export and Import: one conversion at a time with the default.
uint64_t FileCallBytes(const DaemonOptions& options) { return options.memory_budget * 3 / 8; }

// Each connection has a buffer for its next read, whether anything comes or not.
constexpr int kMaxReadBytes = 256 << 10;

absl::StatusOr<std::unique_ptr<CheckpointEngine>> OpenEngine(const DaemonOptions& options, const std::string& folder,
                                                             ByteBudget* budget) {
  CAIRN_ASSIGN_OR_RETURN(std::unique_ptr<ObjectStore> store,
                         OpenLocalObjectStore({.root = folder,
                                               .durable = options.durable_writes,
                                               .direct_reads = options.direct_reads,
                                               .direct_write_bytes = DirectWriteBytes(options)}));
  CAIRN_ASSIGN_OR_RETURN(
      std::unique_ptr<Registry> registry,
      OpenSqliteRegistry({.path = absl::StrCat(folder, "/registry.db"), .durable = options.durable_writes}));
  EngineOptions engine;
  engine.upload.extent_bytes = static_cast<uint32_t>(options.extent_bytes);
  engine.upload.object_bytes = options.object_bytes;
  engine.upload.max_delta_chain = static_cast<uint32_t>(options.max_delta_chain);
  engine.notice = [](absl::string_view text) { Log(LogLevel::kWarning, text); };
  engine.download.cache_bytes = 2 * options.extent_bytes;
  engine.download.read_ahead_bytes = 4 * options.extent_bytes;
  engine.download.budget = budget;
  engine.default_lease = options.session_lease;
  engine.ended_session_retention = options.ended_session_retention;
  // The directory is locked, so nobody else goes by this name; and a restarted daemon has the leases of the one before.
  engine.holder = absl::StrCat("local:", folder);
  return std::make_unique<CheckpointEngine>(std::move(store), std::move(registry), Clock::Real(), engine);
}

class ServerImpl final : public Server {
 public:
  ServerImpl(const DaemonOptions& options, DataDirectory directory)
      : options_(options),
        directory_(std::move(directory)),
        budget_(options.memory_budget - DirectWriteBytes(options)),
        file_budget_(FileCallBytes(options)),
        index_budget_(options.memory_budget),
        io_pool_("io", static_cast<int>(options.io_threads)),
        call_pool_("call", kCallThreads),
        job_pool_("job", kJobThreads),
        file_pool_("file", kFileThreads) {}

  ~ServerImpl() override { Stop(absl::ZeroDuration()); }

  absl::Status Open() {
    CAIRN_ASSIGN_OR_RETURN(engine_, OpenEngine(options_, directory_.path(), &budget_));
    ServiceOptions service;
    service.max_chunk_bytes = static_cast<uint32_t>(options_.max_chunk_bytes);
    service.stream_idle_timeout = options_.stream_idle_timeout;
    service.version = kVersion;
    service.start_time = absl::Now();
    service.storage_in_memory = LiesInMemory(absl::StrCat(directory_.path(), "/objects"));
    CAIRN_ASSIGN_OR_RETURN(file_roots_, AllowedRoots::Make(absl::StrSplit(options_.file_roots, ',', absl::SkipWhitespace())));
    CAIRN_ASSIGN_OR_RETURN(AllowedUrls urls, AllowedUrls::Make(absl::StrSplit(options_.allowed_urls, ',', absl::SkipWhitespace())));
    file_roots_.AllowUrls(std::move(urls));
    if (!options_.unix_socket.empty() && options_.hand_over_files) {
      CAIRN_RETURN_IF_ERROR(CheckSocketPath(options_.unix_socket));
      absl::StatusOr<std::unique_ptr<FileGiver>> files = FileGiver::Listen(options_.unix_socket, options_.unix_socket_mode);
      Complain("handing over files", files.status());  // Clients get all bytes without it, too.
      if (files.ok()) files_ = *std::move(files);
    }
    context_.reset(new ServiceContext{*engine_, budget_, file_budget_, index_budget_, io_pool_, call_pool_, job_pool_, file_pool_, service, LogRpc, {}, &file_roots_, directory_.path()});
    context_->files = files_.get();
    service_ = MakeCheckpointService(*context_);
    CAIRN_RETURN_IF_ERROR(Listen());
    maintenance_ = std::thread([this] { RunMaintenance(); });
    return absl::OkStatus();
  }

  const std::vector<std::string>& addresses() const override { return addresses_; }

  void Stop(absl::Duration drain) override {
    if (grpc_ == nullptr) return;
    grpc_->GetHealthCheckService()->SetServingStatus(false);
    Log(LogLevel::kInfo, "draining", {{"seconds", absl::ToDoubleSeconds(drain)}});
    grpc_->Shutdown(absl::ToChronoTime(absl::Now() + drain));
    grpc_->Wait();
    stopping_.Notify();
    garbage_cancellation_.Cancel();
    if (maintenance_.joinable()) maintenance_.join();
    grpc_.reset();
  }

 private:
  absl::Status Listen() {
    grpc::EnableDefaultHealthCheckService(true);
    if (options_.grpc_reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    std::vector<std::string> asked = options_.listen;
    if (!options_.unix_socket.empty()) {
      CAIRN_RETURN_IF_ERROR(CheckSocketPath(options_.unix_socket));
      asked.push_back(absl::StrCat("unix:", options_.unix_socket));
    }
    if (asked.empty()) return absl::InvalidArgumentError("nothing to listen on: both listen and unix_socket are empty");
    std::shared_ptr<grpc::ServerCredentials> tcp = grpc::InsecureServerCredentials();
    if (!options_.tls_cert.empty()) {
      CAIRN_ASSIGN_OR_RETURN(tls_files_, TlsFiles::Load(options_));
      tls_files_->LogInForce();
      tcp = tls_credentials_ = MakeTlsCredentials(*tls_files_);
    }
    std::vector<int> ports(asked.size(), 0);
    for (size_t i = 0; i < asked.size(); ++i) {
      builder.AddListeningPort(asked[i], IsUnix(asked[i]) ? grpc::InsecureServerCredentials() : tcp, &ports[i]);
    }
    builder.RegisterService(service_.get());
    builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20);
    builder.AddChannelArgument(GRPC_ARG_ENABLE_RETRIES, 0);
    // Windows that follow what gRPC measures may grow to 32 MiB on each connection whose stream waits for memory or the
    // disk, and all of it is received, into memory that nobody counts. Without, a connection has room for 64 KiB and for
    // the messages that its streams have asked for: what a client sends should come in large messages.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddChannelArgument(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, kMaxReadBytes);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    // A peer whose machine died is noticed within a minute and a half.
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 30'000);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    if (options_.max_concurrent_streams > 0) {
      builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(options_.max_concurrent_streams));
    }
    // The socket must not be open to everybody for the moment before its mode is set.
    const mode_t mask = ::umask(0177);
    grpc_ = builder.BuildAndStart();
    ::umask(mask);
    for (size_t i = 0; i < asked.size(); ++i) {
      const bool is_unix = IsUnix(asked[i]);
      // gRPC stops at the first that it cannot have, whose port it leaves as it was.
      if (ports[i] <= 0) {
        return absl::UnavailableError(
            absl::StrCat("cannot listen on ", asked[i],
                         is_unix ? ": may this user make a socket there?"
                                 : ": is it in use, not of this machine, or a name that does not resolve?"));
      }
      const size_t colon = asked[i].rfind(':');
      addresses_.push_back(is_unix ? asked[i] : absl::StrCat(asked[i].substr(0, colon), ":", ports[i]));
    }
    if (grpc_ == nullptr) return absl::UnavailableError(absl::StrCat("cannot serve on ", absl::StrJoin(asked, ", ")));
    if (!options_.unix_socket.empty() && ::chmod(options_.unix_socket.c_str(), options_.unix_socket_mode) != 0) {
      return ErrnoStatus(errno, "set the mode of", options_.unix_socket);
    }
    return absl::OkStatus();
  }

  void RunMaintenance() {
    constexpr absl::Duration kTick = absl::Seconds(1);
    constexpr absl::Duration kMaintain = absl::Seconds(30);
    absl::Time next_maintain = absl::Now();
    absl::Time next_garbage = options_.gc_interval > absl::ZeroDuration() ? absl::Now() + options_.gc_interval : absl::InfiniteFuture();
    while (!stopping_.WaitForNotificationWithTimeout(kTick)) {
      const absl::Time now = absl::Now();
      context_->streams.Tick(now);
      if (now >= next_maintain) {
        next_maintain = now + kMaintain;
        Complain("maintenance", engine_->Maintain());
        if (tls_files_ != nullptr) tls_files_->Maintain(now);
      }
      if (now >= next_garbage) {
        next_garbage = now + options_.gc_interval;
        CollectGarbage();
      }
    }
  }

  void CollectGarbage() {
    const absl::StatusOr<GarbageReport> report =
        engine_->CollectGarbage(/*dry_run=*/false, garbage_cancellation_, [this](const GarbageReport&) {
          context_->streams.Tick(absl::Now());
        });
    if (!report.ok()) {
      // Another daemon at it, or our own stop: not worth a warning.
      if (!absl::IsAborted(report.status()) && !absl::IsCancelled(report.status())) Complain("garbage collection", report.status());
      return;
    }
    if (report->deleted_objects == 0 && report->expired_sessions == 0 && report->purged_checkpoints == 0) return;
    Log(LogLevel::kInfo, "garbage collected",
        {{"objects", report->deleted_objects},
         {"bytes", report->deleted_bytes},
         {"checkpoints", report->purged_checkpoints},
         {"sessions", report->expired_sessions}});
  }

  static void Complain(absl::string_view what, const absl::Status& status) {
    if (status.ok()) return;
    Log(LogLevel::kWarning, absl::StrCat(what, " failed"),
        {{"code", absl::StatusCodeToString(status.code())}, {"error", std::string(status.message())}});
  }

  const DaemonOptions options_;
  // In the order of their construction; each outlives those below it.
  const DataDirectory directory_;
  ByteBudget budget_;
  ByteBudget file_budget_;
  ByteBudget index_budget_;
  std::unique_ptr<CheckpointEngine> engine_;
  AllowedRoots file_roots_;
  std::unique_ptr<FileGiver> files_;  // Null without a Unix socket.
  std::unique_ptr<ServiceContext> context_;
  ThreadPool io_pool_;  // Work that is still queued when a pool ends uses the engine and the context.
  ThreadPool call_pool_;
  ThreadPool job_pool_;
  ThreadPool file_pool_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<TlsFiles> tls_files_;  // Null without TLS, as the next one.
  std::shared_ptr<grpc::ServerCredentials> tls_credentials_;
  std::unique_ptr<grpc::Server> grpc_;
  std::vector<std::string> addresses_;
  absl::Notification stopping_;
  Cancellation garbage_cancellation_;
  std::thread maintenance_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const DaemonOptions& options) {
  CAIRN_ASSIGN_OR_RETURN(DataDirectory directory, OpenDataDirectory(options.data_dir));
  auto server = std::make_unique<ServerImpl>(options, std::move(directory));
  CAIRN_RETURN_IF_ERROR(server->Open());
  return server;
}

}  // namespace cairn
