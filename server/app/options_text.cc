// The texts made from the option table: help, documentation, effective configuration.

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/app/option_table.h"
#include "server/app/options.h"

namespace cairn {
namespace {

constexpr size_t kHelpWidth = 100;
constexpr absl::string_view kHelpIndent = "      ";

// `text` in lines of at most kHelpWidth, indented.
std::string Wrapped(absl::string_view text) {
  std::string out;
  size_t column = 0;
  for (absl::string_view word : absl::StrSplit(text, ' ')) {
    if (column == 0 || column + 1 + word.size() > kHelpWidth) {
      absl::StrAppend(&out, column == 0 ? "" : "\n", kHelpIndent, word);
      column = kHelpIndent.size() + word.size();
    } else {
      absl::StrAppend(&out, " ", word);
      column += 1 + word.size();
    }
  }
  return out;
}

std::string DefaultText(const OptionSpec& spec) {
  const std::string text = OptionText(spec, DaemonOptions());
  return text.empty() ? "none" : text;
}

std::string MarkdownCell(absl::string_view text) { return absl::StrReplaceAll(text, {{"|", "\\|"}}); }

}  // namespace

std::string OptionsHelp() {
  std::string out =
      "cairnd - checkpoint server for machine-learning training\n"
      "\n"
      "Usage: cairnd [options]\n"
      "\n"
      "Every option may be given as a flag, as an environment variable (--data-dir is CAIRND_DATA_DIR) or\n"
      "in a YAML file (data_dir); the flag wins over the environment, the environment over the file.\n"
      "\n"
      "  --config FILE\n"
      "      YAML file with options. Environment: CAIRND_CONFIG\n"
      "  --check-config\n"
      "      Check all options and stop: exit code 0 if they are good.\n"
      "  --print-config\n"
      "      Print the options in force, with the source of each, as a YAML file.\n"
      "  --version, -V\n"
      "  --help, -h\n";
  absl::string_view group;
  for (const OptionSpec& spec : OptionTable()) {
    if (spec.group != group) absl::StrAppend(&out, "\n", spec.group, ":\n");
    group = spec.group;
    absl::StrAppend(&out, "  ", spec.Flag(), spec.IsBool() ? "[=true|false]" : " VALUE", "\n",
                    Wrapped(absl::StrCat(spec.help, ". Expects ", ExpectedText(spec),
                                         ". Default: ", DefaultText(spec), ".")),
                    "\n");
  }
  return out;
}

std::string OptionsMarkdown() {
  std::string out =
      "# Configuration of cairnd\n"
      "\n"
      "<!-- Generated from server/app/option_table.cc: do not edit. See server/app/README.md. -->\n"
      "\n"
      "Every option may be given as a flag, as an environment variable or in a YAML file, and all of them "
      "have defaults.\n"
      "The flag wins over the environment, the environment over the file, the file over the default. The "
      "file is named by\n"
      "`--config FILE` or `CAIRND_CONFIG`. Unknown keys and flags and values out of range are refused, with "
      "the place and\n"
      "the nearest name that exists.\n"
      "\n"
      "```yaml\n"
      "# /etc/cairn/cairnd.yaml\n"
      "data_dir: /var/lib/cairn\n"
      "listen: [\"0.0.0.0:7710\"]\n"
      "memory_budget: 512MiB\n"
      "session_lease: 30m\n"
      "```\n"
      "\n"
      "`cairnd --print-config` prints the options in force and where each came from, as such a file. "
      "`cairnd\n"
      "--check-config` checks them and stops. Amounts of bytes have the units KiB, MiB, GiB or none, times "
      "the units ms, s,\n"
      "m, h (`1h30m`). An option that is true or false may be given as `--durable-writes=false` or "
      "`--no-durable-writes`.\n"
      "A list is written with commas, or as a YAML list; its flag may be repeated.\n";
  absl::string_view group;
  for (const OptionSpec& spec : OptionTable()) {
    if (spec.group != group) {
      absl::StrAppend(&out, "\n## ", spec.group,
                      "\n\n| in the file | flag | environment | default | expects | meaning |\n",
                      "|---|---|---|---|---|---|\n");
    }
    group = spec.group;
    absl::StrAppend(&out, "| `", spec.key, "` | `", spec.Flag(), "` | `", spec.Environment(), "` | `",
                    DefaultText(spec), "` | ", MarkdownCell(ExpectedText(spec)), " | ",
                    MarkdownCell(spec.help), ". |\n");
  }
  return out;
}

std::string PrintEffectiveConfig(const ParsedOptions& parsed) {
  std::string out = "# The options of cairnd in force, and where each came from.\n";
  absl::string_view group;
  for (const OptionSpec& spec : OptionTable()) {
    if (spec.group != group) absl::StrAppend(&out, "\n# ", spec.group, "\n");
    group = spec.group;
    const auto source = parsed.sources.find(std::string(spec.key));
    absl::StrAppend(&out, spec.key, ": ", OptionYaml(spec, parsed.options), "  # ",
                    source == parsed.sources.end() ? "default" : source->second, "\n");
  }
  return out;
}

}  // namespace cairn
