#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/command_set.h"
#include "common/namemap/mapping.h"

namespace CLI {
class App;
}

namespace cairn::cli {

// Names of one family of models become those of another on the way (docs/name-maps.md).
struct MapOptions {
  std::string map;  // Empty: names stay.
  std::vector<std::string> files;
  std::vector<std::string> config;
};
void AddMapOptions(CLI::App& command, MapOptions& options);

// What the options ask for, or nothing; files are read. USAGE for options that do not fit together and for files that
// cannot be read.
absl::StatusOr<std::optional<MappingRequest>> MakeMappingRequest(const MapOptions& options);

// A file that an option names. USAGE if it cannot be read or is too large.
absl::StatusOr<MapLibrary::File> ReadOptionFile(const std::string& option, const std::string& path);

// Says on stderr which map was taken ("litgpt -> hf-llama"), and what it left out.
void NoteMap(CommandContext& context, const std::string& way, std::vector<std::string> dropped);

}  // namespace cairn::cli
