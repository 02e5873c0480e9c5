#include "server/app/option_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/app/option_values.h"
#include "server/app/utf8.h"

namespace cairn {
namespace {

constexpr int64_t kKiB = 1024;
constexpr int64_t kMiB = 1024 * kKiB;
constexpr int64_t kGiB = 1024 * kMiB;
constexpr int64_t kSecond = 1000;
constexpr int64_t kHour = 3600 * kSecond;
constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
// What the kernel takes for the path of a Unix socket (sun_path less its final zero byte).
constexpr int64_t kLongestSocketPath = 107;
constexpr int64_t kLongestPath = 4095;

const std::vector<OptionSpec>& Table() {
  // clang-format off
  using O = DaemonOptions;
  static const auto& table = *new std::vector<OptionSpec>{
      {"data_dir", "Storage", &O::data_dir, {1, kLongestPath},
       "Folder of everything the daemon keeps: objects and registry. Made if missing, but not its parents; relative "
       "to the working directory. One daemon at a time"},
      {"object_bytes", "Storage", &O::object_bytes, {kMiB, kGiB},
       "Size at which a new object is begun. Small tensors share one, big ones span several"},
      {"extent_bytes", "Storage", &O::extent_bytes, {64 * kKiB, 4 * kMiB},
       "Piece of a tensor that has its own digest: the unit of deduplication and of checking on read"},
      {"durable_writes", "Storage", &O::durable_writes, {},
       "Wait for the disk before acknowledging. False is for tests and throw-away data only: a power cut or a crash of "
       "the machine can then lose committed checkpoints"},
      {"direct_reads", "Storage", &O::direct_reads, {},
       "Read objects that are not in the page cache straight from the disk the first time, and through the page cache when "
       "they are read again. False: always through the page cache"},
      {"max_delta_chain", "Storage", &O::max_delta_chain, {0, 64},
       "A save with a parent stores what is nearly equal as the difference to it. So many differences at most have to be "
       "applied one after the other to read a piece of a tensor. 0: everything is stored whole"},
      {"gc_interval", "Storage", &O::gc_interval, {10 * kSecond, 365 * 24 * kHour, true},
       "Pause between two runs of the garbage collector. 0: never by itself, only when a client asks"},
      {"ended_session_retention", "Storage", &O::ended_session_retention, {0, 365 * 24 * kHour},
       "How long a committed, aborted or expired save session is remembered, so that a repeated call gets the same "
       "answer"},
      {"file_roots", "Storage", &O::file_roots, {0, 16 * kLongestPath},
       "Folders of this machine, separated by commas, in which clients may have files read and written by Convert, Diff and Recover. The "
       "daemon does so with its own rights. Empty: none"},
      {"allowed_urls", "Storage", &O::allowed_urls, {0, 16 * kLongestPath},
       "Begins of URLs (https://HOST/PATH, http://HOST/PATH, s3://BUCKET/KEY), separated by commas, that clients may have "
       "read, and in S3 written, by Convert. The daemon does so from its own network and with its own S3 credentials, and "
       "follows no redirect to anything else. Empty: none"},

      {"listen", "Network", &O::listen, {},
       "TCP addresses to serve on, HOST:PORT or [IPV6]:PORT. Port 0 takes a free one. Empty: no TCP. Plain text, "
       "and open to whoever reaches the address, unless tls_cert and tls_client_ca are set"},
      {"unix_socket", "Network", &O::unix_socket, {0, kLongestSocketPath},
       "Path of a Unix socket to serve on. Empty: none. A socket that nobody serves any more is replaced"},
      {"unix_socket_mode", "Network", &O::unix_socket_mode, {0, 0777},
       "Who may connect to the Unix socket, as octal file mode bits (connecting needs write)"},
      {"hand_over_files", "Network", &O::hand_over_files, {},
       "Give clients that come over the Unix socket, as the daemon's own user or as root, the files that they load from, to "
       "read the bytes themselves: faster by far than through a socket. Such a client can read those files whole. False: "
       "all bytes are sent"},
      {"tls_cert", "Network", &O::tls_cert, {0, kLongestPath},
       "PEM file of the certificate for the TCP listeners, its chain behind it. Empty: they are plain. The Unix socket "
       "is plain always. This file and the next two are read again when they change"},
      {"tls_key", "Network", &O::tls_key, {0, kLongestPath},
       "PEM file of the private key of tls_cert, without a passphrase"},
      {"tls_client_ca", "Network", &O::tls_client_ca, {0, kLongestPath},
       "PEM file of the authorities whose certificates clients must have (mutual TLS). Empty: clients need none"},
      {"max_concurrent_streams", "Network", &O::max_concurrent_streams, {1, 1'000'000, true},
       "Calls open at once on one connection; more wait. 0: no limit"},
      {"stream_idle_timeout", "Network", &O::stream_idle_timeout, {kSecond, 24 * kHour},
       "A stream on which the client neither sends nor takes anything for so long is ended"},
      {"session_lease", "Network", &O::session_lease, {10 * kSecond, 24 * kHour},
       "Lease of a save session whose client names none. A session nobody touches for so long is cleaned up"},
      {"drain_timeout", "Network", &O::drain_timeout, {0, kHour},
       "How long calls that run may finish after SIGTERM. 0: they are ended at once"},
      {"grpc_reflection", "Network", &O::grpc_reflection, {},
       "Serve gRPC reflection, for tools such as grpcurl"},

      {"memory_budget", "Resources", &O::memory_budget, {16 * kMiB, kNoLimit},
       "Tensor bytes in memory at once, over all streams. When it is full, senders wait. A quarter of it is for writing "
       "past the page cache, and not counted in what GetServerInfo shows. Export and Import have three eighths as "
       "much of their own. Conversions and diffs of "
       "checkpoints with more than some thousand entries have as much again, and up to 512MiB one at a time. The process needs some memory besides"},
      {"max_chunk_bytes", "Resources", &O::max_chunk_bytes, {16 * kKiB, 8 * kMiB},
       "Largest chunk accepted from a client, and sent to one"},
      {"io_threads", "Resources", &O::io_threads, {1, 1024},
       "Threads that read and write the store"},

      {"log_level", "Logging", &O::log_level, {}, "Least level that is logged"},
      {"log_format", "Logging", &O::log_format, {},
       "Lines for people, or one JSON object per line. Logs go to standard error"},
  };
  // clang-format on
  return table;
}

std::string RangeText(const OptionRange& range, const std::function<std::string(int64_t)>& show) {
  std::string text = range.most == kNoLimit
                         ? absl::StrCat("of at least ", show(range.least))
                         : absl::StrCat("from ", show(range.least), " to ", show(range.most));
  if (range.or_zero) absl::StrAppend(&text, ", or 0");
  return text;
}

bool InRange(int64_t value, const OptionRange& range) {
  return (value >= range.least && value <= range.most) || (range.or_zero && value == 0);
}

// One overload per type of option: what a good value is, in words ...
struct Expected {
  const OptionRange& range;
  std::string operator()(std::string DaemonOptions::*) const {
    return absl::StrFormat("text without control characters, of %d to %d bytes", range.least, range.most);
  }
  std::string operator()(std::vector<std::string> DaemonOptions::*) const {
    return "addresses HOST:PORT, separated by commas";
  }
  std::string operator()(bool DaemonOptions::*) const { return "true or false"; }
  std::string operator()(int64_t DaemonOptions::*) const {
    return absl::StrCat("a whole number ", RangeText(range, [](int64_t n) { return absl::StrCat(n); }));
  }
  std::string operator()(uint64_t DaemonOptions::*) const {
    return absl::StrCat("an amount of bytes (KiB, MiB, GiB) ",
                        RangeText(range, [](int64_t n) { return FormatBytes(static_cast<uint64_t>(n)); }));
  }
  std::string operator()(absl::Duration DaemonOptions::*) const {
    return absl::StrCat("a time (ms, s, m, h) ", RangeText(range, [](int64_t n) {
                          return absl::FormatDuration(absl::Milliseconds(n));
                        }));
  }
  std::string operator()(uint32_t DaemonOptions::*) const {
    return absl::StrCat("octal file mode bits from 0 to ", FormatMode(static_cast<uint32_t>(range.most)));
  }
  std::string operator()(LogLevel DaemonOptions::*) const {
    return absl::StrCat("one of ", LogLevelChoices());
  }
  std::string operator()(LogFormat DaemonOptions::*) const {
    return absl::StrCat("one of ", LogFormatChoices());
  }
};

// ... how it is read; false if `text` is none ...
struct Read {
  const OptionRange& range;
  std::string text;
  DaemonOptions* options;

  bool operator()(std::string DaemonOptions::*member) const {
    if (!InRange(static_cast<int64_t>(text.size()), range) || !IsPrintableUtf8(text)) return false;
    options->*member = std::string(text);
    return true;
  }
  bool operator()(std::vector<std::string> DaemonOptions::*member) const {
    std::vector<std::string> items;
    for (absl::string_view item : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
      items.emplace_back(absl::StripAsciiWhitespace(item));
      if (!IsAddress(items.back())) return false;
    }
    options->*member = std::move(items);
    return true;
  }
  bool operator()(bool DaemonOptions::*member) const { return Store(ParseBool(text), member); }
  bool operator()(int64_t DaemonOptions::*member) const {
    const std::optional<int64_t> value = ParseWholeNumber(text);
    return value && InRange(*value, range) && Store(value, member);
  }
  bool operator()(uint64_t DaemonOptions::*member) const {
    const std::optional<uint64_t> value = ParseBytes(text);
    return value && *value <= static_cast<uint64_t>(kNoLimit) &&
           InRange(static_cast<int64_t>(*value), range) && Store(value, member);
  }
  bool operator()(absl::Duration DaemonOptions::*member) const {
    const std::optional<absl::Duration> value = ParseNonNegativeDuration(text);
    return value && InRange(absl::ToInt64Milliseconds(*value), range) && Store(value, member);
  }
  bool operator()(uint32_t DaemonOptions::*member) const {
    const std::optional<uint32_t> value = ParseMode(text);
    return value && InRange(*value, range) && Store(value, member);
  }
  bool operator()(LogLevel DaemonOptions::*member) const { return Store(ParseLogLevel(text), member); }
  bool operator()(LogFormat DaemonOptions::*member) const { return Store(ParseLogFormat(text), member); }

  template <typename T>
  bool Store(const std::optional<T>& value, T DaemonOptions::*member) const {
    if (value) options->*member = *value;
    return value.has_value();
  }
};

// ... and how it is shown.
struct Show {
  const DaemonOptions& options;
  std::string operator()(std::string DaemonOptions::*member) const { return options.*member; }
  std::string operator()(std::vector<std::string> DaemonOptions::*member) const {
    return absl::StrJoin(options.*member, ",");
  }
  std::string operator()(bool DaemonOptions::*member) const { return options.*member ? "true" : "false"; }
  std::string operator()(int64_t DaemonOptions::*member) const { return absl::StrCat(options.*member); }
  std::string operator()(uint64_t DaemonOptions::*member) const { return FormatBytes(options.*member); }
  std::string operator()(absl::Duration DaemonOptions::*member) const {
    return absl::FormatDuration(options.*member);
  }
  std::string operator()(uint32_t DaemonOptions::*member) const { return FormatMode(options.*member); }
  std::string operator()(LogLevel DaemonOptions::*member) const { return FormatLogLevel(options.*member); }
  std::string operator()(LogFormat DaemonOptions::*member) const { return FormatLogFormat(options.*member); }
};

}  // namespace

std::string OptionSpec::Flag() const { return absl::StrCat("--", absl::StrReplaceAll(key, {{"_", "-"}})); }
std::string OptionSpec::Environment() const { return absl::StrCat("CAIRND_", absl::AsciiStrToUpper(key)); }
bool OptionSpec::IsBool() const { return std::holds_alternative<bool DaemonOptions::*>(member); }
bool OptionSpec::IsList() const {
  return std::holds_alternative<std::vector<std::string> DaemonOptions::*>(member);
}

absl::Span<const OptionSpec> OptionTable() { return Table(); }

std::string ExpectedText(const OptionSpec& spec) { return std::visit(Expected{spec.range}, spec.member); }

bool SetOption(const OptionSpec& spec, absl::Span<const std::string> values, DaemonOptions* options) {
  if (!spec.IsList() && values.size() != 1) return false;
  return std::visit(Read{spec.range, absl::StrJoin(values, ","), options}, spec.member);
}

std::string OptionText(const OptionSpec& spec, const DaemonOptions& options) {
  return std::visit(Show{options}, spec.member);
}

std::string OptionYaml(const OptionSpec& spec, const DaemonOptions& options) {
  if (const auto* list = std::get_if<std::vector<std::string> DaemonOptions::*>(&spec.member)) {
    return absl::StrCat("[",
                        absl::StrJoin(options.*(*list), ", ",
                                      [](std::string* out, const std::string& item) {
                                        absl::StrAppend(out, JsonQuoted(item));
                                      }),
                        "]");
  }
  const std::string text = OptionText(spec, options);
  return std::holds_alternative<std::string DaemonOptions::*>(spec.member) ? JsonQuoted(text) : text;
}

}  // namespace cairn
