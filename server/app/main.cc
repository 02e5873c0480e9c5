// cairnd: parse, build, serve, drain. The only place of the daemon that exits.
#include <grpc/grpc.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/allocator_tuning.h"
#include "server/app/library_logs.h"
#include "server/app/logging.h"
#include "server/app/options.h"
#include "server/app/server.h"
#include "server/app/tls_files.h"
#include "server/app/version.h"

namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "cairnd: %s\n", std::string(status.message()).c_str());
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

absl::Status CheckTls(const cairn::DaemonOptions& options) {
  return options.tls_cert.empty() ? absl::OkStatus() : cairn::TlsFiles::Load(options).status();
}

int Run(const cairn::ParsedOptions& parsed) {
  cairn::StartLogging(parsed.options.log_level, parsed.options.log_format);
  cairn::RouteLibraryLogs();
#if defined(CAIRN_WITHOUT_CHECKS)
  cairn::Log(cairn::LogLevel::kWarning, "built without checksums and digests, to measure: what it stores is not to be kept");
#endif
  // Every thread inherits the mask; the signals are taken below, by this one.
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);
  signal(SIGPIPE, SIG_IGN);

  absl::StatusOr<std::unique_ptr<cairn::Server>> server = cairn::Server::Start(parsed.options);
  if (!server.ok()) {
    cairn::Log(cairn::LogLevel::kError, "cannot start", {{"error", std::string(server.status().message())}});
    return absl::IsInvalidArgument(server.status()) ? 2 : 1;
  }
  cairn::Log(cairn::LogLevel::kInfo, "serving",
             {{"version", std::string(cairn::kVersion)},
              {"addresses", absl::StrJoin((*server)->addresses(), ",")},
              {"data_dir", parsed.options.data_dir},
              {"pid", static_cast<int64_t>(getpid())}});
  int received = 0;
  sigwait(&stop_signals, &received);
  cairn::Log(cairn::LogLevel::kInfo, "stopping", {{"signal", static_cast<int64_t>(received)}});
  // A second signal ends the process at once: whatever is not acknowledged may be lost, nothing else.
  pthread_sigmask(SIG_UNBLOCK, &stop_signals, nullptr);
  (*server)->Stop(parsed.options.drain_timeout);
  cairn::Log(cairn::LogLevel::kInfo, "stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  cairn::TuneAllocator();
  // An experiment of gRPC 1.51 that costs a sixth of the throughput of large messages.
  setenv("GRPC_EXPERIMENTS", "-tcp_read_chunks", /*overwrite=*/0);
  // Held for ever: gRPC 1.51 may wait ten seconds for its own poller when the server goes.
  grpc_init();
  const std::vector<std::string> args(argv + 1, argv + argc);
  const absl::StatusOr<cairn::ParsedOptions> parsed = cairn::ParseOptions(args, cairn::ProcessEnv);
  if (!parsed.ok()) return Fail(parsed.status());
  switch (parsed->action) {
    case cairn::DaemonAction::kHelp:
      std::fputs(cairn::OptionsHelp().c_str(), stdout);
      return 0;
    case cairn::DaemonAction::kVersion:
      std::printf("cairnd %s\n", cairn::kVersion);
      return 0;
    case cairn::DaemonAction::kPrintConfig:
      std::fputs(cairn::PrintEffectiveConfig(*parsed).c_str(), stdout);
      return 0;
    case cairn::DaemonAction::kCheckConfig:
      if (const absl::Status tls = CheckTls(parsed->options); !tls.ok()) return Fail(tls);
      std::puts("configuration is valid");
      return 0;
    case cairn::DaemonAction::kRun:
      return Run(*parsed);
  }
  return 1;
}
