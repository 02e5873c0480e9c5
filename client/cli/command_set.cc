#include "client/cli/command_set.h"

#include <algorithm>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/exit_code.h"

#ifndef CAIRN_VERSION
#error "the build sets CAIRN_VERSION"
#endif

namespace cairn::cli {
namespace {

constexpr char kRootFooter[] =
    R"(A ref is NAME@STEP, NAME@TAG or NAME (the latest step). A file is a path, or PREFIX::PATH where the prefix names
its format (easylm, params, trainstate, trainstate_params, flax, flax_params, safetensors, npz, cairndiff).

Examples:
  cairn push model.safetensors team/run@1000
  cairn pull team/run@1000 params::streaming_params_1000
  cairn convert model.safetensors params::streaming_params
  cairn diff team/run@1000 team/run@2000
  cairn ls team/

Exit codes: 0 success, 1 error, 2 wrong usage, 3 not found, 4 exists already or a precondition fails, 5 damaged data,
6 the server cannot be reached, 7 "cairn diff" found a difference, 130 interrupted.)";

// CLI11 indents and wraps nothing in footers, so they are given as they shall appear.
std::string ExamplesFooter(const std::vector<std::string>& examples) {
  return absl::StrCat("Examples:\n  ", absl::StrJoin(examples, "\n  "));
}

}  // namespace

CommandSet::CommandSet(std::string default_server, TlsFlags tls_environment)
    : root_(std::make_unique<CLI::App>("Saves, finds, loads and converts machine-learning checkpoints.",
                                       "cairn")) {
  globals_.server = std::move(default_server);
  globals_.tls_environment = std::move(tls_environment);
  // At most one. Whether there is one, and nothing unknown before it, CheckCommand() says: CLI11 would not name it.
  root_->require_subcommand(0, 1);
  root_->allow_extras();
  root_->footer(kRootFooter);
  root_->set_version_flag("--version", absl::StrCat("cairn ", CAIRN_VERSION));
  root_->get_formatter()->column_width(34);
  AddGlobalOptions(*root_);
}

CommandSet::~CommandSet() = default;

void CommandSet::AddGlobalOptions(CLI::App& app) {
  constexpr char kGroup[] = "Global options";
  app.add_option("--server", globals_.server,
                 "The daemon: HOST:PORT or unix:/PATH [env CAIRN_SERVER, else localhost:7710]")
      ->type_name("ADDR")
      ->group(kGroup);
  app.add_flag_function("--tls,!--no-tls", [this](int64_t count) { globals_.tls.tls = count > 0; },
                        "Speak TLS, with the system's authorities [env CAIRN_TLS=1]")
      ->group(kGroup);
  const auto add_tls = [&](const char* name, std::string& value, const char* type, const char* help) {
    app.add_option(name, value, help)->type_name(type)->group(kGroup);
  };
  add_tls("--tls-ca", globals_.tls.ca, "FILE", "TLS, with the authorities of this PEM file [env CAIRN_TLS_CA]");
  add_tls("--tls-cert", globals_.tls.cert, "FILE",
          "This client's certificate, for a daemon that wants one [env CAIRN_TLS_CERT]");
  add_tls("--tls-key", globals_.tls.key, "FILE", "The key of --tls-cert [env CAIRN_TLS_KEY]");
  add_tls("--tls-server-name", globals_.tls.server_name, "NAME",
          "The name to expect in the daemon's certificate [env CAIRN_TLS_SERVER_NAME, else that of --server]");
  app.add_flag("--json", globals_.json, "Results as JSON: one object, or one a line for lists")
      ->group(kGroup);
  app.add_flag("-q,--quiet", globals_.quiet, "Only results and errors")->group(kGroup);
  app.add_flag("--no-progress", globals_.no_progress, "No progress bar or lines")->group(kGroup);
}

CLI::App* CommandSet::Add(const std::string& name, const std::string& description,
                          const std::vector<std::string>& examples, Run run) {
  CLI::App* command = root_->add_subcommand(name, description)->allow_extras(false);
  command->footer(ExamplesFooter(examples));
  AddGlobalOptions(*command);
  runs_[command] = std::move(run);
  return command;
}

CLI::App* CommandSet::AddHidden(const std::string& name, Run run) {
  CLI::App* command = root_->add_subcommand(name, "")->group("")->allow_extras(false);
  AddGlobalOptions(*command);
  runs_[command] = std::move(run);
  return command;
}

absl::Status CommandSet::CheckCommand() const {
  const bool found = !root_->get_subcommands().empty();
  const std::vector<std::string> others = root_->remaining();
  if (found && others.empty()) return absl::OkStatus();
  const auto word = std::find_if(others.begin(), others.end(),
                                 [](const std::string& text) { return !absl::StartsWith(text, "-"); });
  if (found || (word == others.end() && !others.empty())) {
    return UsageError(absl::StrCat("unknown option ", others.front()));
  }
  std::vector<std::string> names;
  for (const CLI::App* command : root().get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty()) names.push_back(command->get_name());
  }
  const std::string what = word == others.end() ? "no command" : absl::StrCat("unknown command \"", *word, "\"");
  return UsageError(absl::StrCat(what, "; expected one of ", absl::StrJoin(names, ", ")));
}

int CommandSet::Main(int argc, const char* const* argv, Console& console, const Cancellation& cancellation) {
  absl::Status status;
  int exit_code = kExitOk;
  try {
    root_->parse(argc, argv);
    console.Configure(globals_.json, globals_.quiet, globals_.no_progress);
    CommandContext context{globals_, console, cancellation};
    status = CheckCommand();
    if (status.ok()) status = runs_.at(root_->get_subcommands().front())(context);
    exit_code = context.exit_code;
  } catch (const CLI::Success& success) {  // --help, --version.
    root_->exit(success, console.out(), console.out());
  } catch (const CLI::Error& error) {
    status = UsageError(error.what());
  } catch (const std::exception& error) {
    status = absl::InternalError(error.what());
  }
  if (status.ok()) status = console.Flush();
  if (status.ok()) return exit_code;
  // Whatever an interrupt broke on its way out, the interrupt is what happened.
  if (cancellation.cancelled() && !absl::StartsWith(status.message(), "interrupted")) {
    status = absl::CancelledError("interrupted");
  }
  console.PrintError(status, HintFor(status, globals_.server));
  return ExitCodeFor(status);
}

void AddAllCommands(CommandSet& commands) {
  AddPushCommand(commands);
  AddPullCommand(commands);
  AddConvertCommand(commands);
  AddExportCommand(commands);
  AddImportCommand(commands);
  AddDiffCommand(commands);
  AddRecoverCommand(commands);
  AddSeedCommand(commands);
  AddLsCommand(commands);
  AddShowCommand(commands);
  AddTagCommand(commands);
  AddRmCommand(commands);
  AddVerifyCommand(commands);
  AddGcCommand(commands);
  AddDoctorCommand(commands);
  AddCompletionCommands(commands);
}

}  // namespace cairn::cli
