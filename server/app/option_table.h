#pragma once

// The one table of options. Everything that names options (parsing, help, documentation) walks over it.

#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/app/options.h"

namespace cairn {

// The member's type is the option's type: how its text is read, checked, shown and described.
using OptionMember =
    std::variant<std::string DaemonOptions::*, std::vector<std::string> DaemonOptions::*, bool DaemonOptions::*,
                 int64_t DaemonOptions::*, uint64_t DaemonOptions::* /* bytes */, absl::Duration DaemonOptions::*,
                 uint32_t DaemonOptions::* /* file mode */, LogLevel DaemonOptions::*, LogFormat DaemonOptions::*>;

// Bounds, both inclusive: of the number, of the bytes, of the milliseconds, of the text's length.
struct OptionRange {
  int64_t least = 0;
  int64_t most = std::numeric_limits<int64_t>::max();
  bool or_zero = false;  // Zero is allowed below `least`: it switches something off.
};

struct OptionSpec {
  absl::string_view key;  // As in the file: data_dir.
  absl::string_view group;
  OptionMember member;
  OptionRange range;
  absl::string_view help;

  std::string Flag() const;         // --data-dir
  std::string Environment() const;  // CAIRND_DATA_DIR
  bool IsBool() const;
  bool IsList() const;
};

// All options, those of a group together.
absl::Span<const OptionSpec> OptionTable();

// "an amount of bytes from 64KiB to 4MiB, such as 1MiB".
std::string ExpectedText(const OptionSpec& spec);

// Sets one option from text: one value, or any number for a list (each of them a list, separated by commas). False, and
// `options` untouched, if that is not what ExpectedText() says.
bool SetOption(const OptionSpec& spec, absl::Span<const std::string> values, DaemonOptions* options);

// The value as text that SetOption() takes.
std::string OptionText(const OptionSpec& spec, const DaemonOptions& options);

// The value as YAML that reads back.
std::string OptionYaml(const OptionSpec& spec, const DaemonOptions& options);

}  // namespace cairn
