#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/console.h"
#include "client/cli/tls_flags.h"
#include "common/base/cancellation.h"

namespace CLI {
class App;
}

namespace cairn::cli {

// Options that every command takes, before or after its name.
struct GlobalOptions {
  std::string server;
  TlsFlags tls;
  TlsFlags tls_environment;
  bool json = false;
  bool quiet = false;
  bool no_progress = false;
};

// What a command runs with.
struct CommandContext {
  const GlobalOptions& globals;
  Console& console;
  Cancellation cancellation;
  int exit_code = 0;  // What a command that succeeds ends with: a finding that scripts ask for.
};

// The commands of the program: the tree of options that CLI11 parses, and what to run for each. Help,
// completion and the tests walk the same tree.
class CommandSet {
 public:
  using Run = std::function<absl::Status(CommandContext&)>;

  // `default_server`: what --server is when it is not given. `tls_environment`: where the options of TLS are not.
  explicit CommandSet(std::string default_server, TlsFlags tls_environment = {});
  ~CommandSet();
  CommandSet(const CommandSet&) = delete;
  CommandSet& operator=(const CommandSet&) = delete;

  // Adds a command and returns its node, to which the caller adds options and arguments. `examples` end its
  // help, one a line. Options are bound to variables that `run` keeps alive.
  CLI::App* Add(const std::string& name, const std::string& description,
                const std::vector<std::string>& examples, Run run);
  // A command that help and completion leave out.
  CLI::App* AddHidden(const std::string& name, Run run);

  // Parses and runs. Never throws. The result is the process's exit code.
  int Main(int argc, const char* const* argv, Console& console, const Cancellation& cancellation);

  const CLI::App& root() const { return *root_; }

 private:
  void AddGlobalOptions(CLI::App& app);
  // USAGE unless exactly one command was given, and nothing unknown in front of it.
  absl::Status CheckCommand() const;

  GlobalOptions globals_;
  std::unique_ptr<CLI::App> root_;
  std::map<const CLI::App*, Run> runs_;
};

// Each adds one command; one file each.
void AddPushCommand(CommandSet& commands);
void AddPullCommand(CommandSet& commands);
void AddConvertCommand(CommandSet& commands);
void AddExportCommand(CommandSet& commands);
void AddImportCommand(CommandSet& commands);
void AddDiffCommand(CommandSet& commands);
void AddRecoverCommand(CommandSet& commands);
void AddSeedCommand(CommandSet& commands);
void AddLsCommand(CommandSet& commands);
void AddShowCommand(CommandSet& commands);
void AddTagCommand(CommandSet& commands);
void AddRmCommand(CommandSet& commands);
void AddVerifyCommand(CommandSet& commands);
void AddGcCommand(CommandSet& commands);
void AddDoctorCommand(CommandSet& commands);
void AddCompletionCommands(CommandSet& commands);

// All of them, in the order in which help lists them.
void AddAllCommands(CommandSet& commands);

}  // namespace cairn::cli
