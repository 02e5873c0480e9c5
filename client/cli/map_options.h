#pragma once

#include <memory>
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

// A mapping of `source`, which was read from the file `path`, or null if none is asked for. USAGE for options that do
// not fit together or files that cannot be read; INVALID_ARGUMENT for a checkpoint that does not fit the map.
absl::StatusOr<std::unique_ptr<Mapping>> MakeMapping(CheckpointReader& source, const std::string& path,
                                                     const MapOptions& options);

// Says on stderr which map was taken, and what it left out.
void NoteMapping(CommandContext& context, const Mapping& mapping);

}  // namespace cairn::cli
