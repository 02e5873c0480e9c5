#include <memory>

#include "CLI/CLI.hpp"
#include "client/cli/command_set.h"
#include "client/cli/completion.h"
#include "client/cli/connect.h"
#include "client/cli/exit_code.h"
#include "common/base/status_macros.h"

namespace cairn::cli {
namespace {

constexpr int kMostCandidates = 1000;

struct Options {
  std::string shell;
};

struct CompleteOptions {
  std::string kind;
  std::string prefix;
};

absl::Status PrintScript(CommandContext& context, const CommandSet& commands, const Options& options) {
  const absl::StatusOr<std::string> script = CompletionScript(commands, options.shell);
  if (!script.ok()) return UsageError(script.status().message());
  context.console.out() << *script;
  return absl::OkStatus();
}

// Silent about errors, since somebody is typing.
absl::Status PrintCandidates(CommandContext& context, const CompleteOptions& options) {
  const absl::StatusOr<client::Client> client = ConnectForCompletion(context);
  if (!client.ok()) return absl::OkStatus();
  client::ListCheckpointsSpec spec;
  const size_t at = options.prefix.find('@');
  if (at == std::string::npos) {
    spec.name_prefix = options.prefix;
  } else {
    spec.name = options.prefix.substr(0, at);
  }
  spec.page_size = kMostCandidates;
  const absl::StatusOr<client::CheckpointPage> page = client->connection().ListCheckpoints(spec);
  if (!page.ok()) return absl::OkStatus();
  for (const std::string& candidate : RefCandidates(page->checkpoints, options.prefix)) {
    context.console.PrintLine(candidate);
  }
  return absl::OkStatus();
}

}  // namespace

void AddCompletionCommands(CommandSet& commands) {
  auto options = std::make_shared<Options>();
  CLI::App* command = commands.Add(
      "completion", "Print the completion script for a shell.",
      {"cairn completion bash > /etc/bash_completion.d/cairn", "cairn completion zsh > ~/.zfunc/_cairn",
       "cairn completion fish > ~/.config/fish/completions/cairn.fish"},
      [options, &commands](CommandContext& context) { return PrintScript(context, commands, *options); });
  command->add_option("SHELL", options->shell, "bash, zsh or fish")->required();

  auto complete_options = std::make_shared<CompleteOptions>();
  CLI::App* complete = commands.AddHidden("__complete", [complete_options](CommandContext& context) {
    return PrintCandidates(context, *complete_options);
  });
  complete->add_option("KIND", complete_options->kind)->required();
  complete->add_option("PREFIX", complete_options->prefix);
}

}  // namespace cairn::cli
