#include "client/cli/completion.h"

#include <set>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/tensor/ref.h"

namespace cairn::cli {
namespace {

struct OptionWords {
  std::vector<std::string> names;  // "--server", "-q".
  std::string description;
  bool takes_value = false;
  bool takes_file = false;
};

struct CommandWords {
  std::string name;
  std::string description;
  std::vector<OptionWords> options;
  bool takes_files = false;
  bool takes_refs = false;
  std::vector<std::string> choices;  // Of its first argument.
};

std::vector<OptionWords> OptionsOf(const CLI::App& app) {
  std::vector<OptionWords> options;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional() || option->get_group().empty()) continue;
    OptionWords words;
    for (const std::string& name : option->get_lnames()) words.names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) words.names.push_back("-" + name);
    words.description = option->get_description();
    words.takes_value = option->get_items_expected_max() > 0;
    words.takes_file = option->get_type_name() == "FILE";
    options.push_back(std::move(words));
  }
  return options;
}

// What an argument may be is told by its name in the help: SRC and DST are files, REF and NAME live on the
// server.
std::vector<CommandWords> CommandsOf(const CommandSet& commands) {
  std::vector<CommandWords> all;
  for (const CLI::App* app : commands.root().get_subcommands([](const CLI::App*) { return true; })) {
    if (app->get_group().empty()) continue;  // Hidden.
    CommandWords words;
    words.name = app->get_name();
    words.description = app->get_description();
    words.options = OptionsOf(*app);
    for (const CLI::Option* option : app->get_options()) {
      if (!option->get_positional()) continue;
      const std::string name = option->get_single_name();
      for (const char* file : {"SRC", "DST", "FILE"})
        words.takes_files |= name.find(file) != std::string::npos;
      for (const char* ref : {"REF", "NAME"}) words.takes_refs |= name.find(ref) != std::string::npos;
      if (name == "SHELL") words.choices = {"bash", "zsh", "fish"};
    }
    all.push_back(std::move(words));
  }
  return all;
}

std::string OptionNames(const CommandWords& command, absl::string_view separator) {
  std::vector<std::string> names;
  for (const OptionWords& option : command.options)
    names.insert(names.end(), option.names.begin(), option.names.end());
  return absl::StrJoin(names, separator);
}

std::string CommandNames(const std::vector<CommandWords>& commands) {
  return absl::StrJoin(commands, " ", [](std::string* out, const CommandWords& c) { out->append(c.name); });
}

// In single quotes, for bash, zsh and fish alike ("'" itself is left out: only descriptions could have one).
std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", ""}, {"\\", ""}}), "'");
}

std::string BashScript(const std::vector<CommandWords>& commands) {
  std::string script = R"SH(# Completion of cairn for bash. Made by: cairn completion bash
_cairn() {
  local cur="${COMP_WORDS[COMP_CWORD]}" words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
  # Refs contain '@' and ':', at which readline breaks words; bash-completion puts them together again.
  declare -F _get_comp_words_by_ref >/dev/null && _get_comp_words_by_ref -n "@:" cur words cword
  local command="" i options="--help --version --server --tls --no-tls --tls-ca --tls-cert --tls-key
    --tls-server-name --json --quiet --no-progress" values="" files=no refs=no
  for ((i = 1; i < cword; i++)); do
    case "${words[i]}" in
      --server|--tls-ca|--tls-cert|--tls-key|--tls-server-name) ((i++)) ;;
      -*) ;;
      *) command="${words[i]}"; break ;;
    esac
  done
  case "$command" in
)SH";
  absl::StrAppend(&script, "    \"\") values=\"", CommandNames(commands), "\" ;;\n");
  for (const CommandWords& command : commands) {
    absl::StrAppend(&script, "    ", command.name, ") options=\"", OptionNames(command, " "), "\" values=\"",
                    absl::StrJoin(command.choices, " "), "\" files=", command.takes_files ? "yes" : "no",
                    " refs=", command.takes_refs ? "yes" : "no", " ;;\n");
  }
  absl::StrAppend(&script, R"SH(    *) files=yes ;;
  esac
  COMPREPLY=()
  case "${words[cword-1]}" in
    --tls-ca|--tls-cert|--tls-key)
      compopt -o filenames 2>/dev/null
      COMPREPLY=($(compgen -f -- "$cur"))
      return ;;
  esac
  if [[ "$cur" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
    return
  fi
  [[ -n "$values" ]] && COMPREPLY=($(compgen -W "$values" -- "$cur"))
  if [[ "$refs" == yes ]]; then
    COMPREPLY+=($(compgen -W "$(cairn __complete refs "$cur" 2>/dev/null)" -- "$cur"))
  fi
  if [[ "$files" == yes ]]; then
    compopt -o filenames 2>/dev/null
    COMPREPLY+=($(compgen -f -- "$cur"))
  fi
  declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"
}
complete -F _cairn cairn
)SH");
  return script;
}

std::string ZshScript(const std::vector<CommandWords>& commands) {
  std::string script = R"SH(#compdef cairn
# Completion of cairn for zsh. Made by: cairn completion zsh
_cairn_refs() {
  local -a refs
  refs=(${(f)"$(cairn __complete refs "$PREFIX" 2>/dev/null)"})
  (( $#refs )) && compadd -a refs
}
_cairn() {
  local -a commands options
  local command="" i
  for (( i = 2; i < CURRENT; i++ )); do
    case "${words[i]}" in
      --server|--tls-ca|--tls-cert|--tls-key|--tls-server-name) (( i++ )) ;;
      -*) ;;
      *) command="${words[i]}"; break ;;
    esac
  done
  case "${words[CURRENT-1]}" in
    --tls-ca|--tls-cert|--tls-key) _files; return ;;
  esac
  commands=(
)SH";
  for (const CommandWords& command : commands) {
    absl::StrAppend(&script, "    ", Quoted(absl::StrCat(command.name, ":", command.description)), "\n");
  }
  absl::StrAppend(&script, "  )\n  case \"$command\" in\n    '') _describe command commands ;;\n");
  for (const CommandWords& command : commands) {
    absl::StrAppend(&script, "    ", command.name, ")\n      options=(", OptionNames(command, " "), ")\n",
                    "      if [[ \"$PREFIX\" == -* ]]; then compadd -a options; return; fi\n");
    if (!command.choices.empty()) {
      absl::StrAppend(&script, "      compadd ", absl::StrJoin(command.choices, " "), "\n");
    }
    if (command.takes_refs) absl::StrAppend(&script, "      _cairn_refs\n");
    if (command.takes_files) absl::StrAppend(&script, "      _files\n");
    absl::StrAppend(&script, "      ;;\n");
  }
  absl::StrAppend(&script, "  esac\n}\n_cairn \"$@\"\n");
  return script;
}

std::string FishScript(const std::vector<CommandWords>& commands) {
  std::string script =
      absl::StrCat("# Completion of cairn for fish. Made by: cairn completion fish\n", "set -l commands ",
                   CommandNames(commands), "\n", "complete -c cairn -f\n");
  for (const CommandWords& command : commands) {
    absl::StrAppend(&script, "complete -c cairn -n \"not __fish_seen_subcommand_from $commands\" -a ",
                    command.name, " -d ", Quoted(command.description), "\n");
  }
  for (const CommandWords& command : commands) {
    const std::string seen =
        absl::StrCat("complete -c cairn -n \"__fish_seen_subcommand_from ", command.name, "\"");
    for (const OptionWords& option : command.options) {
      absl::StrAppend(&script, seen);
      for (const std::string& name : option.names) {
        absl::StrAppend(&script, name.size() == 2 ? " -s " : " -l ", name.substr(name.size() == 2 ? 1 : 2));
      }
      absl::StrAppend(&script, option.takes_value ? " -r" : "", option.takes_file ? " -F" : "", " -d ",
                      Quoted(option.description), "\n");
    }
    if (!command.choices.empty()) {
      absl::StrAppend(&script, seen, " -a ", Quoted(absl::StrJoin(command.choices, " ")), "\n");
    }
    if (command.takes_refs) {
      absl::StrAppend(&script, seen, " -a \"(cairn __complete refs (commandline -ct) 2>/dev/null)\"\n");
    }
    if (command.takes_files) absl::StrAppend(&script, seen, " -F\n");
  }
  return script;
}

}  // namespace

absl::StatusOr<std::string> CompletionScript(const CommandSet& commands, absl::string_view shell) {
  const std::vector<CommandWords> words = CommandsOf(commands);
  if (shell == "bash") return BashScript(words);
  if (shell == "zsh") return ZshScript(words);
  if (shell == "fish") return FishScript(words);
  return absl::InvalidArgumentError(
      absl::StrCat("no completion for shell \"", shell, "\"; expected bash, zsh or fish"));
}

std::vector<std::string> RefCandidates(const std::vector<client::CheckpointInfo>& checkpoints,
                                       absl::string_view typed) {
  std::set<std::string> candidates;
  const auto offer = [&](const std::string& candidate) {
    if (absl::StartsWith(candidate, typed) && Ref::Parse(candidate).ok()) candidates.insert(candidate);
  };
  for (const client::CheckpointInfo& checkpoint : checkpoints) {
    offer(checkpoint.name);
    if (!absl::StrContains(typed, '@') && checkpoint.name != typed) continue;
    offer(checkpoint.ShownRef());
    for (const std::string& tag : checkpoint.tags) offer(absl::StrCat(checkpoint.name, "@", tag));
  }
  return std::vector<std::string>(candidates.begin(), candidates.end());
}

}  // namespace cairn::cli
