#include "server/app/options.h"

#include <stdlib.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "server/app/config_file.h"
#include "server/app/option_error.h"
#include "server/app/option_table.h"
#include "server/app/utf8.h"

namespace cairn {
namespace {

constexpr absl::string_view kConfigEnvironment = "CAIRND_CONFIG";

// An option given on the command line. Its value is read when the weaker sources have been.
struct GivenFlag {
  const OptionSpec* spec;
  std::string source;
  std::vector<std::string> values;  // More than one: a list option given more than once.
};

struct CommandLine {
  DaemonAction action = DaemonAction::kRun;
  std::optional<std::string> config_file;
  std::vector<GivenFlag> flags;
};

const OptionSpec* FindFlag(absl::string_view flag) {
  for (const OptionSpec& spec : OptionTable()) {
    if (flag == spec.Flag()) return &spec;
  }
  return nullptr;
}

std::optional<DaemonAction> FindAction(absl::string_view flag) {
  if (flag == "--help" || flag == "-h") return DaemonAction::kHelp;
  if (flag == "--version" || flag == "-V") return DaemonAction::kVersion;
  if (flag == "--print-config") return DaemonAction::kPrintConfig;
  if (flag == "--check-config") return DaemonAction::kCheckConfig;
  return std::nullopt;
}

absl::Status UnknownArgument(absl::string_view name) {
  std::vector<std::string> known = {"--config", "--help", "--version", "--print-config", "--check-config"};
  for (const OptionSpec& spec : OptionTable()) known.push_back(spec.Flag());
  return BadOption("command line", absl::StrCat("an option (", DidYouMean(name, known, "see --help"), ")"),
                   JsonQuoted(name));
}

// Reads the arguments from `*next` on that belong to one flag.
absl::Status ReadFlag(absl::Span<const std::string> args, size_t* next, CommandLine* line) {
  const std::string& arg = args[(*next)++];
  const size_t equals = arg.find('=');
  const std::string name = arg.substr(0, equals);
  std::optional<std::string> value;
  if (equals != std::string::npos) value = arg.substr(equals + 1);

  if (const std::optional<DaemonAction> action = FindAction(name)) {
    if (value) return BadOption(name, "no value", JsonQuoted(*value));
    line->action = *action;
    return absl::OkStatus();
  }

  const OptionSpec* spec = FindFlag(name);
  if (spec == nullptr && absl::StartsWith(name, "--no-") && !value) {
    spec = FindFlag(absl::StrCat("--", name.substr(5)));
    if (spec != nullptr && spec->IsBool()) {
      line->flags.push_back({spec, name, {"false"}});
      return absl::OkStatus();
    }
    spec = nullptr;
  }
  if (spec == nullptr && name != "--config") return UnknownArgument(name);
  if (!value && spec != nullptr && spec->IsBool()) {
    value = "true";
  } else if (!value) {
    // A flag that takes a value takes the next argument, but never another flag: that is a forgotten value.
    if (*next == args.size() || absl::StartsWith(args[*next], "--")) {
      const std::string found = *next == args.size() ? "nothing after it" : JsonQuoted(args[*next]);
      return BadOption(name, spec == nullptr ? "the path of a YAML file" : ExpectedText(*spec), found);
    }
    value = args[(*next)++];
  }
  if (spec == nullptr) {
    // Most likely a variable of a script that is not set. Starting with the defaults would be no help.
    if (value->empty()) return BadOption(name, "the path of a YAML file", JsonQuoted(*value));
    line->config_file = *value;
    return absl::OkStatus();
  }
  const auto earlier = std::find_if(line->flags.begin(), line->flags.end(),
                                    [&](const GivenFlag& given) { return given.spec == spec; });
  if (spec->IsList() && earlier != line->flags.end()) {
    earlier->values.push_back(*value);
  } else {
    line->flags.push_back({spec, name, {*value}});
  }
  return absl::OkStatus();
}

absl::StatusOr<CommandLine> ReadCommandLine(absl::Span<const std::string> args) {
  CommandLine line;
  for (size_t next = 0; next < args.size();) {
    CAIRN_RETURN_IF_ERROR(ReadFlag(args, &next, &line));
    if (line.action == DaemonAction::kHelp || line.action == DaemonAction::kVersion) break;
  }
  return line;
}

// Sets one option and remembers where it came from.
absl::Status Apply(const OptionSpec& spec, const std::string& source, const std::vector<std::string>& values,
                   ParsedOptions* parsed) {
  if (!SetOption(spec, values, &parsed->options)) {
    return BadOption(source, ExpectedText(spec), JsonQuoted(absl::StrJoin(values, ",")));
  }
  parsed->sources[std::string(spec.key)] = source;
  return absl::OkStatus();
}

}  // namespace

std::optional<std::string> ProcessEnv(const std::string& name) {
  const char* value = getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

absl::StatusOr<ParsedOptions> ParseOptions(absl::Span<const std::string> args, const EnvGetter& env) {
  CAIRN_ASSIGN_OR_RETURN(const CommandLine line, ReadCommandLine(args));
  ParsedOptions parsed;
  parsed.action = line.action;
  for (const OptionSpec& spec : OptionTable()) parsed.sources[std::string(spec.key)] = "default";
  if (line.action == DaemonAction::kHelp || line.action == DaemonAction::kVersion) return parsed;

  parsed.config_file =
      line.config_file ? *line.config_file : env(std::string(kConfigEnvironment)).value_or("");
  if (!parsed.config_file.empty()) {
    CAIRN_ASSIGN_OR_RETURN(const std::vector<ConfigEntry> entries, ReadConfigFile(parsed.config_file));
    for (const ConfigEntry& entry : entries) {
      CAIRN_RETURN_IF_ERROR(
          Apply(*entry.spec, absl::StrCat(entry.source, ": ", entry.spec->key), entry.values, &parsed));
      parsed.sources[std::string(entry.spec->key)] = entry.source;
    }
  }
  for (const OptionSpec& spec : OptionTable()) {
    const std::string name = spec.Environment();
    if (const std::optional<std::string> value = env(name)) {
      CAIRN_RETURN_IF_ERROR(Apply(spec, absl::StrCat("environment variable ", name), {*value}, &parsed));
    }
  }
  for (const GivenFlag& flag : line.flags) {
    CAIRN_RETURN_IF_ERROR(Apply(*flag.spec, flag.source, flag.values, &parsed));
  }
  if (parsed.options.listen.empty() && parsed.options.unix_socket.empty()) {
    return BadOption(absl::StrCat("listen (", parsed.sources["listen"], ")"),
                     "an address, or a path for unix_socket", "neither: nobody could reach the daemon");
  }
  const DaemonOptions& options = parsed.options;
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    const std::string given = options.tls_key.empty() ? "tls_cert" : "tls_key";
    return BadOption(absl::StrCat(given, " (", parsed.sources[given], ")"), "tls_cert and tls_key together",
                     absl::StrCat("no ", options.tls_key.empty() ? "tls_key" : "tls_cert"));
  }
  if (!options.tls_client_ca.empty() && options.tls_cert.empty()) {
    return BadOption(absl::StrCat("tls_client_ca (", parsed.sources["tls_client_ca"], ")"),
                     "tls_cert and tls_key with it: certificates of clients are asked for in TLS only", "neither");
  }
  return parsed;
}

}  // namespace cairn
