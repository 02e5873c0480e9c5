#include "client/cli/command_set.h"

#include <sys/stat.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/completion.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace cairn::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class CommandSetTest : public ::testing::Test {
 protected:
  CommandSetTest() : commands_("unix:/nonexistent/cairn.sock") { AddAllCommands(commands_); }

  std::vector<const CLI::App*> Shown() const {
    std::vector<const CLI::App*> shown;
    for (const CLI::App* app : commands_.root().get_subcommands([](const CLI::App*) { return true; })) {
      if (!app->get_group().empty()) shown.push_back(app);
    }
    return shown;
  }

  static std::vector<std::string> LongOptions(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    return names;
  }

  int Run(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "cairn");
    std::istringstream in;
    Console console(Console::Streams{in, out_, err_});
    return commands_.Main(static_cast<int>(arguments.size()), arguments.data(), console, cancellation_);
  }

  CommandSet commands_;
  Cancellation cancellation_;
  std::ostringstream out_, err_;
};

std::string Docs() {
  std::ifstream file(absl::StrCat(CAIRN_SOURCE_DIR, "/docs/cli.md"));
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST_F(CommandSetTest, TheDocsDescribeExactlyTheCommandsThereAre) {
  std::vector<std::string> documented, there;
  for (absl::string_view line : absl::StrSplit(Docs(), '\n')) {
    if (absl::ConsumePrefix(&line, "### cairn ")) documented.emplace_back(line);
  }
  for (const CLI::App* app : Shown()) there.push_back(app->get_name());
  EXPECT_EQ(documented, there);
}

TEST_F(CommandSetTest, AnUnknownCommandIsNamed) {
  EXPECT_EQ(Run({"frobnicate", "x"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("unknown command \"frobnicate\"; expected one of push, pull"));
}

TEST_F(CommandSetTest, NoCommandIsSaidSo) {
  EXPECT_EQ(Run({}), 2);
  EXPECT_EQ(Run({"--json"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("no command; expected one of push, pull"));
}

TEST_F(CommandSetTest, AnUnknownOptionIsNamedBeforeAndBehindTheCommand) {
  EXPECT_EQ(Run({"--bogus", "ls"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("--bogus"));
  EXPECT_EQ(Run({"ls", "--bogus2"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("--bogus2"));
  EXPECT_EQ(Run({"--bogus3"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("--bogus3"));
}

TEST_F(CommandSetTest, AParentThatIsNoRefIsWrongUsage) {
  EXPECT_EQ(Run({"push", "/nonexistent", "run@1", "--parent", "a b"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("--parent: ref \"a b\""));
}

TEST_F(CommandSetTest, APathThatNoRefCanBeIsAFileThatIsMissing) {
  for (const char* command : {"show", "verify"}) {
    for (const char* path : {"/nonexistent.safetensors", "./nonexistent.safetensors", "../nonexistent"}) {
      EXPECT_EQ(Run({command, path}), 3) << path;
      EXPECT_THAT(err_.str(), HasSubstr(path));
    }
    EXPECT_EQ(Run({command, "a b"}), 2);
    EXPECT_THAT(err_.str(), HasSubstr("or uid:UID, or a file that exists"));
  }
}

TEST_F(CommandSetTest, ASelectionThatLeavesNothingIsRefused) {
  const std::string source = absl::StrCat(CAIRN_SOURCE_DIR, "/tests/golden/safetensors/sharded");
  const testing::TempDir folder;
  const std::string target = folder / "out/";
  EXPECT_EQ(Run({"convert", source.c_str(), target.c_str(), "--select", "!**"}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("--select: leaves none of 4 entries"));
}

TEST_F(CommandSetTest, ASeparatorIsUtf8) {
  EXPECT_EQ(Run({"convert", "/nonexistent", "x.safetensors", "--separator", "\xff"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("--separator: expected UTF-8"));
}

TEST_F(CommandSetTest, ADeviceIsNeverReplaced) {
  const std::string source = absl::StrCat(CAIRN_SOURCE_DIR, "/tests/golden/safetensors/sharded");
  const testing::TempDir folder;
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(Run({"convert", source.c_str(), pipe.c_str(), "--overwrite"}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("found a pipe"));
}

TEST_F(CommandSetTest, TheDocsNameEveryOption) {
  const std::string docs = Docs();
  for (const CLI::App* app : Shown()) {
    for (const std::string& option : LongOptions(*app)) {
      EXPECT_THAT(docs, HasSubstr(option)) << "of cairn " << app->get_name();
    }
  }
}

TEST_F(CommandSetTest, EveryOptionAndCommandSaysWhatItIsFor) {
  for (const CLI::App* app : Shown()) {
    EXPECT_NE(app->get_description(), "") << app->get_name();
    EXPECT_THAT(app->get_footer(), HasSubstr(absl::StrCat("cairn ", app->get_name())));
    for (const CLI::Option* option : app->get_options()) {
      EXPECT_NE(option->get_description(), "") << app->get_name() << " " << option->get_name();
    }
  }
}

TEST_F(CommandSetTest, CompletionHasEveryCommandAndOption) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = CompletionScript(commands_, shell).value();
    EXPECT_THAT(script, ::testing::Not(HasSubstr("  __complete"))) << "hidden";
    for (const CLI::App* app : Shown()) {
      EXPECT_THAT(script, HasSubstr(app->get_name()));
      for (const std::string& option : LongOptions(*app)) {
        const std::string spelled = absl::string_view(shell) == "fish" ? "-l " + option.substr(2) : option;
        EXPECT_THAT(script, HasSubstr(spelled)) << shell << ", cairn " << app->get_name();
      }
    }
  }
  EXPECT_FALSE(CompletionScript(commands_, "tcsh").ok());
}

client::CheckpointInfo Saved(const std::string& name, int64_t step, std::vector<std::string> tags) {
  client::CheckpointInfo info;
  info.name = name;
  info.step = step;
  info.tags = std::move(tags);
  return info;
}

TEST(RefCandidates, OffersNamesAndThenStepsAndTags) {
  const std::vector<client::CheckpointInfo> all = {Saved("team/run", 10, {"best"}),
                                                   Saved("team/run2", 1, {})};
  EXPECT_THAT(RefCandidates(all, "te"), ::testing::ElementsAre("team/run", "team/run2"));
  EXPECT_THAT(RefCandidates(all, "team/run@"), ::testing::ElementsAre("team/run@10", "team/run@best"));
  EXPECT_THAT(RefCandidates(all, "other"), ::testing::IsEmpty());
}

TEST(RefCandidates, NeverOffersWhatAShellWouldRun) {
  const std::vector<client::CheckpointInfo> all = {Saved("$(reboot)", 1, {}),
                                                   Saved("run", 1, {"`reboot`", "a;b"})};
  EXPECT_THAT(RefCandidates(all, ""), ::testing::ElementsAre("run"));
  EXPECT_THAT(RefCandidates(all, "run@"), ::testing::ElementsAre("run@1"));
}

TEST_F(CommandSetTest, WrongUsageEndsWith2OnStderr) {
  EXPECT_EQ(Run({"frobnicate"}), 2);
  EXPECT_EQ(out_.str(), "");
  EXPECT_THAT(err_.str(), StartsWith("cairn: USAGE: "));
  EXPECT_THAT(err_.str(), HasSubstr("\nhint: "));
}

TEST_F(CommandSetTest, TakesGlobalOptionsBeforeAndAfterTheCommand) {
  CommandContext* seen = nullptr;
  GlobalOptions globals;
  commands_.Add("probe", "For this test.", {"cairn probe"}, [&](CommandContext& context) {
    seen = &context;
    globals = context.globals;
    return absl::OkStatus();
  });
  EXPECT_EQ(Run({"--server", "host:1", "probe", "--json", "-q"}), 0);
  EXPECT_NE(seen, nullptr);
  EXPECT_EQ(globals.server, "host:1");
  EXPECT_TRUE(globals.json);
  EXPECT_TRUE(globals.quiet);
}

TEST_F(CommandSetTest, TheServerIsTheDefaultUnlessGiven) {
  std::string server;
  commands_.Add("probe", "For this test.", {"cairn probe"}, [&](CommandContext& context) {
    server = context.globals.server;
    return absl::OkStatus();
  });
  EXPECT_EQ(Run({"probe"}), 0);
  EXPECT_EQ(server, "unix:/nonexistent/cairn.sock");
}

TEST_F(CommandSetTest, AnErrorAfterAnInterruptCountsAsInterrupted) {
  commands_.Add("probe", "For this test.", {"cairn probe"}, [&](CommandContext&) {
    cancellation_.Cancel();
    return absl::UnavailableError("the stream broke");
  });
  EXPECT_EQ(Run({"probe"}), 130);
  EXPECT_THAT(err_.str(), StartsWith("cairn: CANCELLED: "));
}

TEST_F(CommandSetTest, LostOutputIsAnError) {
  commands_.Add("probe", "For this test.", {"cairn probe"}, [&](CommandContext& context) {
    context.console.PrintLine("result");
    out_.setstate(std::ios::badbit);  // As a full disk does.
    return absl::OkStatus();
  });
  EXPECT_EQ(Run({"probe"}), 1);
}

TEST_F(CommandSetTest, AnErrorCannotSendEscapeSequences) {
  commands_.Add("probe", "For this test.", {"cairn probe"},
                [&](CommandContext&) { return absl::NotFoundError("\x1b[2J"); });
  EXPECT_EQ(Run({"probe"}), 3);
  EXPECT_THAT(err_.str(), ::testing::Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace cairn::cli
