#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/app/logging.h"

namespace cairn {

// Everything that an operator can choose. The values here are the defaults; option_table.cc has a row for each, with
// its range and its help.
struct DaemonOptions {
  // Storage.
  std::string data_dir = "cairn-data";
  uint64_t object_bytes = uint64_t{64} << 20;
  uint64_t extent_bytes = uint64_t{1} << 20;
  bool durable_writes = true;
  bool direct_reads = true;
  int64_t max_delta_chain = 8;  // Zero: no deltas.
  absl::Duration gc_interval = absl::Minutes(10);  // Zero: only when asked.
  absl::Duration ended_session_retention = absl::Hours(24);
  std::string file_roots;  // Absolute paths, separated by commas. Empty: none.
  std::string allowed_urls;  // Begins of URLs, separated by commas. Empty: none.

  // Network.
  std::vector<std::string> listen = {"localhost:7710"};  // HOST:PORT. Empty: no TCP.
  std::string unix_socket;                               // Empty: none.
  uint32_t unix_socket_mode = 0660;
  bool hand_over_files = true;
  std::string tls_cert;       // Empty: the TCP listeners are plain.
  std::string tls_key;        // Empty exactly if tls_cert is.
  std::string tls_client_ca;  // Empty: clients need no certificate.
  int64_t max_concurrent_streams = 0;  // Zero: no limit.
  absl::Duration stream_idle_timeout = absl::Minutes(2);
  absl::Duration session_lease = absl::Minutes(10);
  absl::Duration drain_timeout = absl::Seconds(30);
  bool grpc_reflection = true;

  // Resources.
  uint64_t memory_budget = uint64_t{128} << 20;
  uint64_t max_chunk_bytes = uint64_t{1} << 20;
  int64_t io_threads = 4;

  // Logging.
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
};

// What the command line asks for.
enum class DaemonAction { kRun, kHelp, kVersion, kPrintConfig, kCheckConfig };

struct ParsedOptions {
  DaemonAction action = DaemonAction::kRun;
  DaemonOptions options;    // Defaults when `action` is kHelp or kVersion.
  std::string config_file;  // Empty: none.
  // Where each option's value came from, by key: "default", "--data-dir", "environment variable CAIRND_DATA_DIR",
  // "/etc/cairnd.yaml:3". Has every key.
  std::map<std::string, std::string> sources;
};

// The value of an environment variable, or nothing if it is not set. An empty value is a value.
using EnvGetter = std::function<std::optional<std::string>(const std::string& name)>;

// Reads the process's environment.
std::optional<std::string> ProcessEnv(const std::string& name);

// Puts the options together: flag, else environment variable, else configuration file, else default. `args` are the
// arguments after the program's name. Reads the file that --config or CAIRND_CONFIG names, nothing else.
//
// Every value given is checked, also one that another place overrides. INVALID_ARGUMENT (reason BAD_OPTION; metadata
// "source", "expected", "found") says where the mistake is, what was expected, what was found, and for a misspelled
// name the one that was probably meant. NOT_FOUND or PERMISSION_DENIED: the configuration file cannot be read.
absl::StatusOr<ParsedOptions> ParseOptions(absl::Span<const std::string> args, const EnvGetter& env);

// The options in force, as a configuration file that gives the same options again, with the source of each.
std::string PrintEffectiveConfig(const ParsedOptions& parsed);

// For --help, and for docs/configuration.md.
std::string OptionsHelp();
std::string OptionsMarkdown();

}  // namespace cairn
