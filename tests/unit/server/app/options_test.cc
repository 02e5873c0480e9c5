#include "server/app/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/str_split.h"
#include "common/base/error_info.h"
#include "server/app/option_table.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::cairn::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using Environment = std::map<std::string, std::string>;

EnvGetter Env(Environment environment) {
  return [environment](const std::string& name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional<std::string>(found->second);
  };
}

absl::StatusOr<ParsedOptions> Parse(std::vector<std::string> args, Environment environment = {}) {
  return ParseOptions(args, Env(std::move(environment)));
}

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) : path_(dir_ / "cairnd.yaml") { std::ofstream(path_) << text; }
  const std::string& path() const { return path_; }

 private:
  TempDir dir_;
  std::string path_;
};

absl::StatusOr<ParsedOptions> ParseFile(const std::string& text) {
  ConfigFile file(text);
  return Parse({"--config", file.path()});
}

TEST(ParseOptions, CertificateAndKeyComeTogether) {
  CAIRN_EXPECT_OK(Parse({"--tls-cert", "c"}, {{"CAIRND_TLS_KEY", "k"}}));
  EXPECT_THAT(Parse({"--tls-cert", "c"}),
              StatusIs(absl::StatusCode::kInvalidArgument, "tls_cert (--tls-cert): expected tls_cert and tls_key together, found no tls_key"));
  EXPECT_THAT(Parse({}, {{"CAIRND_TLS_KEY", "k"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tls_key (environment variable CAIRND_TLS_KEY)")));
  EXPECT_THAT(Parse({"--tls-client-ca", "ca"}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tls_client_ca")));
}

TEST(ParseOptions, NeedsNothing) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const ParsedOptions parsed, Parse({}));
  EXPECT_EQ(parsed.action, DaemonAction::kRun);
  EXPECT_EQ(parsed.options.data_dir, "cairn-data");
  EXPECT_THAT(parsed.options.listen, ElementsAre("localhost:7710"));
  EXPECT_EQ(parsed.options.memory_budget, 128u << 20);
  EXPECT_TRUE(parsed.options.durable_writes);
  EXPECT_EQ(parsed.sources.size(), OptionTable().size());
  EXPECT_EQ(parsed.sources.at("data_dir"), "default");
}

TEST(ParseOptions, PrefersTheFlagThenTheEnvironmentThenTheFile) {
  ConfigFile file("memory_budget: 100MiB\nio_threads: 5\ngc_interval: 1h\n");
  CAIRN_ASSERT_OK_AND_ASSIGN(const ParsedOptions parsed,
                             Parse({"--memory-budget=300MiB"}, {{"CAIRND_CONFIG", file.path()},
                                                                {"CAIRND_MEMORY_BUDGET", "200MiB"},
                                                                {"CAIRND_IO_THREADS", "6"}}));
  EXPECT_EQ(parsed.options.memory_budget, 300u << 20);
  EXPECT_EQ(parsed.sources.at("memory_budget"), "--memory-budget");
  EXPECT_EQ(parsed.options.io_threads, 6);
  EXPECT_EQ(parsed.sources.at("io_threads"), "environment variable CAIRND_IO_THREADS");
  EXPECT_EQ(parsed.options.gc_interval, absl::Hours(1));
  EXPECT_EQ(parsed.sources.at("gc_interval"), file.path() + ":3");
  EXPECT_EQ(parsed.config_file, file.path());
}

TEST(ParseOptions, PrefersTheFileOfTheFlagToThatOfTheEnvironment) {
  ConfigFile file("io_threads: 7\n");
  CAIRN_ASSERT_OK_AND_ASSIGN(const ParsedOptions parsed,
                             Parse({"--config=" + file.path()}, {{"CAIRND_CONFIG", "/nowhere/at/all.yaml"}}));
  EXPECT_EQ(parsed.options.io_threads, 7);
}

TEST(ParseOptions, ReadsEveryKindOfValueFromEveryPlace) {
  const Environment values = {
      {"data_dir", "/srv/cairn"},   {"listen", "0.0.0.0:1,[::1]:2"}, {"durable_writes", "no"},
      {"io_threads", "9"},          {"memory_budget", "1GiB"},       {"session_lease", "1h30m"},
      {"unix_socket_mode", "0600"}, {"log_level", "debug"},          {"log_format", "json"}};
  std::vector<std::string> flags;
  Environment environment;
  std::string yaml;
  for (const auto& [key, value] : values) {
    for (const OptionSpec& spec : OptionTable()) {
      if (spec.key == key) flags.push_back(spec.Flag() + "=" + value);
      if (spec.key == key) environment[spec.Environment()] = value;
    }
    yaml += key + ": '" + value + "'\n";
  }
  ASSERT_EQ(flags.size(), values.size());
  for (const auto& parsed : {Parse(flags), Parse({}, environment), ParseFile(yaml)}) {
    CAIRN_ASSERT_OK(parsed);
    EXPECT_EQ(parsed->options.data_dir, "/srv/cairn");
    EXPECT_THAT(parsed->options.listen, ElementsAre("0.0.0.0:1", "[::1]:2"));
    EXPECT_FALSE(parsed->options.durable_writes);
    EXPECT_EQ(parsed->options.io_threads, 9);
    EXPECT_EQ(parsed->options.memory_budget, 1u << 30);
    EXPECT_EQ(parsed->options.session_lease, absl::Minutes(90));
    EXPECT_EQ(parsed->options.unix_socket_mode, 0600u);
    EXPECT_EQ(parsed->options.log_level, LogLevel::kDebug);
    EXPECT_EQ(parsed->options.log_format, LogFormat::kJson);
  }
}

TEST(ParseOptions, TakesFlagsInEveryUsualForm) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const ParsedOptions parsed,
                             Parse({"--data-dir", "/a", "--data-dir=/b", "--no-durable-writes",
                                    "--grpc-reflection", "--listen", "a:1,b:2", "--listen=c:3"}));
  EXPECT_EQ(parsed.options.data_dir, "/b") << "the last one wins";
  EXPECT_FALSE(parsed.options.durable_writes);
  EXPECT_TRUE(parsed.options.grpc_reflection);
  EXPECT_THAT(parsed.options.listen, ElementsAre("a:1", "b:2", "c:3"));
}

TEST(ParseOptions, KnowsWhatToDoBesidesRunning) {
  EXPECT_EQ(Parse({"--version"})->action, DaemonAction::kVersion);
  EXPECT_EQ(Parse({"--print-config", "--io-threads=3"})->action, DaemonAction::kPrintConfig);
  EXPECT_EQ(Parse({"--io-threads=3", "--check-config"})->action, DaemonAction::kCheckConfig);
  EXPECT_EQ(Parse({"--help", "--nonsense"})->action, DaemonAction::kHelp);
  EXPECT_EQ(Parse({"-h"}, {{"CAIRND_IO_THREADS", "many"}})->action, DaemonAction::kHelp)
      << "help is there when the configuration is broken";
}

TEST(ParseOptions, NamesTheFlagThatWasProbablyMeant) {
  EXPECT_THAT(Parse({"--data_dir=/x"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("did you mean --data-dir?")));
  EXPECT_THAT(Parse({"--memory-bugdet=1GiB"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("did you mean --memory-budget?")));
  EXPECT_THAT(Parse({"--frobnicate"}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("see --help")));
  EXPECT_THAT(Parse({"start"}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("found \"start\"")));
  EXPECT_THAT(Parse({"--no-io-threads"}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ParseOptions, RefusesAFlagWithoutItsValue) {
  EXPECT_THAT(Parse({"--io-threads"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nothing after it")));
  EXPECT_THAT(Parse({"--data-dir", "--print-config"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("found \"--print-config\"")));
  EXPECT_THAT(Parse({"--config"}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("YAML file")));
  EXPECT_THAT(Parse({"--config", ""}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("YAML file")));
  EXPECT_THAT(Parse({"--durable-writes", "false"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("found \"false\"")))
      << "a flag that is true or false takes its value with '='";
}

TEST(ParseOptions, SaysWhereWhatWasExpectedAndWhatWasFound) {
  const absl::Status flag = Parse({"--io-threads=0"}).status();
  EXPECT_EQ(flag.message(), "--io-threads: expected a whole number from 1 to 1024, found \"0\"");
  EXPECT_EQ(GetErrorInfo(flag).reason, "BAD_OPTION");
  EXPECT_EQ(GetErrorInfo(flag).metadata.at("source"), "--io-threads");
  EXPECT_EQ(Parse({}, {{"CAIRND_SESSION_LEASE", "5"}}).status().message(),
            "environment variable CAIRND_SESSION_LEASE: expected a time (ms, s, m, h) from 10s to 24h, found "
            "\"5\"");
  ConfigFile file("# one\nmemory_budget: 15MiB\n");
  EXPECT_EQ(Parse({"--config", file.path()}).status().message(),
            file.path() +
                ":2: memory_budget: expected an amount of bytes (KiB, MiB, GiB) of at least 16MiB, found "
                "\"15MiB\"");
}

TEST(ParseOptions, RefusesBadValues) {
  for (const char* arg : {"--memory-budget=1GB",
                          "--memory-budget=-1",
                          "--memory-budget=99999999999999999999",
                          "--memory-budget=",
                          "--memory-budget=17179869185GiB",
                          "--memory-budget=0x4000000",
                          "--extent-bytes=5MiB",
                          "--extent-bytes=1KiB",
                          "--io-threads=4.0",
                          "--io-threads= 4",
                          "--io-threads=+4",
                          "--io-threads=1025",
                          "--session-lease=25h",
                          "--session-lease=-10m",
                          "--session-lease=inf",
                          "--session-lease=10us",
                          "--session-lease=10.0005s",
                          "--session-lease=1d",
                          "--gc-interval=1s",
                          "--drain-timeout=61m",
                          "--durable-writes=maybe",
                          "--unix-socket-mode=888",
                          "--unix-socket-mode=1777",
                          "--unix-socket-mode=-1",
                          "--log-level=loud",
                          "--log-format=xml",
                          "--data-dir=",
                          "--data-dir=a\nb",
                          "--data-dir=\xff",
                          "--listen=7710",
                          "--listen=:7710",
                          "--listen=host:",
                          "--listen=host:65536",
                          "--listen=host:http",
                          "--listen=::1:7710",
                          "--listen=[::1:7710",
                          "--listen=a b:1",
                          "--listen=[]:1"}) {
    EXPECT_THAT(Parse({arg}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected"))) << arg;
  }
  EXPECT_THAT(Parse({"--unix-socket=/" + std::string(106, 'x')}), testing::IsOk());
  EXPECT_THAT(Parse({"--unix-socket=/" + std::string(107, 'x')}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ParseOptions, TakesZeroWhereItSwitchesOff) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const ParsedOptions parsed,
                             Parse({"--gc-interval=0", "--max-concurrent-streams=0", "--drain-timeout=0"}));
  EXPECT_EQ(parsed.options.gc_interval, absl::ZeroDuration());
  EXPECT_THAT(Parse({"--session-lease=0"}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ParseOptions, ChecksAValueThatAnotherPlaceOverrides) {
  EXPECT_THAT(Parse({"--io-threads=4"}, {{"CAIRND_IO_THREADS", "four"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("CAIRND_IO_THREADS")));
}

TEST(ParseOptions, RefusesADaemonThatNobodyCanReach) {
  EXPECT_THAT(Parse({}, {{"CAIRND_LISTEN", ""}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("CAIRND_LISTEN")));
  CAIRN_ASSERT_OK_AND_ASSIGN(const ParsedOptions parsed, Parse({"--listen=", "--unix-socket=/run/c.sock"}));
  EXPECT_THAT(parsed.options.listen, IsEmpty());
}

TEST(ConfigFileOptions, MayBeEmpty) {
  CAIRN_EXPECT_OK(ParseFile(""));
  CAIRN_EXPECT_OK(ParseFile("# nothing\n---\n"));
}

TEST(ConfigFileOptions, TakesListsOfBothForms) {
  EXPECT_THAT(ParseFile("listen: [a:1, 'b:2']")->options.listen, ElementsAre("a:1", "b:2"));
  EXPECT_THAT(ParseFile("listen:\n  - a:1\n  - b:2\n")->options.listen, ElementsAre("a:1", "b:2"));
  EXPECT_THAT(ParseFile("listen: a:1, b:2")->options.listen, ElementsAre("a:1", "b:2"));
  EXPECT_THAT(ParseFile("listen: []\nunix_socket: /x")->options.listen, IsEmpty());
}

TEST(ConfigFileOptions, NamesTheKeyThatWasProbablyMeant) {
  EXPECT_THAT(
      ParseFile("io_threads: 1\ndata-dir: /x\n"),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr(":2: expected the name of an option (did you mean data_dir?), found \"data-dir\"")));
  EXPECT_THAT(ParseFile("zzzzzz: 1"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cairnd --help")));
}

TEST(ConfigFileOptions, RefusesWhatIsNoListOfOptions) {
  for (const auto& [text, fragment] : std::vector<std::pair<std::string, std::string>>{
           {"io_threads: 1\nio_threads: 2\n", ":2: expected io_threads once"},
           {"io_threads: 1\n---\nio_threads: 2\n", "one YAML document"},
           {"- io_threads\n", "found a list"},
           {"just text\n", "found a value"},
           {"io_threads: {a: 1}\n", "found a map"},
           {"io_threads: [1]\n", "found a list"},
           {"listen: [[a:1]]\n", "a list in the list"},
           {"unix_socket:\n", "found nothing"},
           {"data_dir: ~\n", "found nothing"},
           {"? [a]\n: 1\n", "found a list"},
           {"io_threads: 1\ndata_dir: [\n", "expected YAML"},
           {"io_threads: \"\\q\"\n", ":1: expected YAML"}}) {
    EXPECT_THAT(ParseFile(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(fragment))) << text;
  }
  EXPECT_THAT(ParseFile(std::string((1 << 20) + 1, '#')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 1MiB")));
}

TEST(ConfigFileOptions, SaysWhenTheFileCannotBeRead) {
  EXPECT_THAT(Parse({"--config=/nowhere/cairnd.yaml"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/cairnd.yaml")));
  TempDir dir;
  EXPECT_THAT(Parse({"--config=" + dir.path()}), Not(testing::IsOk()));
}

TEST(EffectiveConfig, ReadsBackAsTheSameOptions) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const ParsedOptions parsed,
                             Parse({"--data-dir=/a b/\"c\"\\d # e: ü", "--listen=[::1]:1,b:2",
                                    "--unix-socket=/run/x", "--session-lease=90s", "--memory-budget=16777217",
                                    "--unix-socket-mode=7", "--no-durable-writes", "--log-level=error"},
                                   {{"CAIRND_GC_INTERVAL", "0"}}));
  const std::string text = PrintEffectiveConfig(parsed);
  EXPECT_THAT(text, HasSubstr("memory_budget: 16777217  # --memory-budget\n"));
  EXPECT_THAT(text, HasSubstr("gc_interval: 0  # environment variable CAIRND_GC_INTERVAL\n"));
  EXPECT_THAT(text, HasSubstr("io_threads: 4  # default\n"));
  CAIRN_ASSERT_OK_AND_ASSIGN(const ParsedOptions again, ParseFile(text));
  for (const OptionSpec& spec : OptionTable()) {
    EXPECT_EQ(OptionText(spec, again.options), OptionText(spec, parsed.options)) << spec.key;
    EXPECT_NE(again.sources.at(std::string(spec.key)), "default") << spec.key << " is missing";
  }
}

TEST(OptionTable, HasDefaultsThatItAccepts) {
  for (const OptionSpec& spec : OptionTable()) {
    DaemonOptions options;
    EXPECT_TRUE(SetOption(spec, {OptionText(spec, options)}, &options)) << spec.key;
    EXPECT_EQ(OptionText(spec, options), OptionText(spec, DaemonOptions())) << spec.key;
  }
}

TEST(OptionsHelp, NamesEveryOptionInLinesThatFitATerminal) {
  const std::string help = OptionsHelp();
  for (const OptionSpec& spec : OptionTable()) EXPECT_THAT(help, HasSubstr("\n  " + spec.Flag())) << spec.key;
  for (absl::string_view line : absl::StrSplit(help, '\n')) EXPECT_LE(line.size(), 100u) << line;
  EXPECT_THAT(help, HasSubstr("lose committed checkpoints")) << "durable_writes must warn";
}

// CAIRN_UPDATE_DOCS=1 writes the file instead.
TEST(OptionsMarkdown, IsWhatTheDocumentationHas) {
  const std::string path = CAIRN_SOURCE_DIR "/docs/configuration.md";
  if (getenv("CAIRN_UPDATE_DOCS") != nullptr) std::ofstream(path) << OptionsMarkdown();
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), OptionsMarkdown()) << "run this test with CAIRN_UPDATE_DOCS=1 and commit the file";
}

}  // namespace
}  // namespace cairn
