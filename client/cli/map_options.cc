#include "client/cli/map_options.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/exit_code.h"
#include "common/base/status_macros.h"
#include "common/io/posix_file.h"

namespace cairn::cli {
namespace {

constexpr uint64_t kMaxFileBytes = 4u << 20;
constexpr size_t kNamesInNote = 5;

bool IsMapFile(const std::string& text) {
  return absl::StrContains(text, "/") || absl::EndsWith(text, ".yaml") || absl::EndsWith(text, ".yml");
}

}  // namespace

absl::StatusOr<MapLibrary::File> ReadOptionFile(const std::string& option, const std::string& path) {
  const auto usage = [&](absl::string_view what) { return UsageError(absl::StrCat(option, ": ", what)); };
  const absl::StatusOr<std::unique_ptr<ByteSource>> source = OpenFileSource(path);
  if (!source.ok()) return usage(source.status().message());
  if ((*source)->size() > kMaxFileBytes) {
    return usage(absl::StrCat(path, ": expected at most ", kMaxFileBytes, " bytes, found ", (*source)->size()));
  }
  MapLibrary::File file{path, std::string((*source)->size(), '\0')};
  CAIRN_RETURN_IF_ERROR((*source)->ReadAt(0, absl::MakeSpan(file.text.data(), file.text.size())));
  return file;
}

void AddMapOptions(CLI::App& command, MapOptions& options) {
  auto* map =
      command
          .add_option("--map", options.map,
                      "Rename and rearrange tensors: FROM:TO (hf-llama:litgpt), TO alone where the checkpoint says "
                      "what it is, or a map file")
          ->type_name("MAP");
  command.add_option("--map-file", options.files, "Name maps of your own, beside the ones there are")
      ->type_name("FILE")
      ->needs(map);
  command
      .add_option(
          "--map-config", options.config,
          "What the map needs to know and finds nowhere: NAME=NUMBER (heads=32), or a config.json, params.json or "
          "model_config.yaml")
      ->type_name("NAME=N|FILE")
      ->needs(map);
}

absl::StatusOr<std::optional<MappingRequest>> MakeMappingRequest(const MapOptions& options) {
  if (options.map.empty()) return std::nullopt;
  MappingRequest request{.map = options.map};
  std::vector<std::string> files = options.files;
  if (IsMapFile(options.map) && std::find(files.begin(), files.end(), options.map) == files.end()) {
    files.push_back(options.map);
  }
  for (const std::string& file : files) {
    CAIRN_ASSIGN_OR_RETURN(MapLibrary::File read, ReadOptionFile(file == options.map ? "--map" : "--map-file", file));
    request.files.push_back(std::move(read));
  }
  for (const std::string& text : options.config) {
    const size_t equals = text.find('=');
    int64_t number = 0;
    if (equals != std::string::npos && absl::SimpleAtoi(text.substr(equals + 1), &number) && number >= 0) {
      request.given[text.substr(0, equals)] = number;
      continue;
    }
    if (equals != std::string::npos && !IsMapFile(text)) {
      return UsageError(absl::StrCat("--map-config: expected NAME=NUMBER or a file, found \"", text, "\""));
    }
    CAIRN_ASSIGN_OR_RETURN(MapLibrary::File read, ReadOptionFile("--map-config", text));
    read.name = std::filesystem::path(text).filename().string();
    request.configs.push_back(std::move(read));
  }
  return request;
}

void NoteMap(CommandContext& context, const std::string& way, std::vector<std::string> dropped) {
  std::string note = way;
  if (!dropped.empty()) {
    const size_t count = dropped.size();
    dropped.resize(std::min(count, kNamesInNote));
    absl::StrAppend(&note, "; without ", count, count == 1 ? " tensor" : " tensors",
                    " that the map leaves out: ", absl::StrJoin(dropped, ", "), count > kNamesInNote ? ", ..." : "");
  }
  context.console.Note(note);
}

}  // namespace cairn::cli
