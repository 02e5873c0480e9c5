#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/namemap/name_map.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// One map, read in one direction.
struct MapStep {
  const NameMap* map = nullptr;
  size_t from_side = 0;
  const Naming* from = nullptr;
  const Naming* to = nullptr;
};

// All namings and maps that there are: those that come with the program, and files of the user's. Immutable.
class MapLibrary {
 public:
  struct File {
    std::string name;
    std::string text;
  };
  // INVALID_ARGUMENT for a file that does not parse, or names a naming or a map that does not exist. A naming or a map
  // of `files` takes the place of one that comes with the program.
  static absl::StatusOr<std::unique_ptr<MapLibrary>> Create(const std::vector<File>& files = {});

  const std::vector<Naming>& namings() const { return namings_; }
  const std::vector<NameMap>& maps() const { return maps_; }

  // INVALID_ARGUMENT, with the names there are, for an unknown one. Groups ("hf") are none.
  absl::StatusOr<const Naming*> Find(absl::string_view name) const;

  // Which naming the checkpoint is of, of those of a group (empty: of all). INVALID_ARGUMENT if none fits, or several
  // do.
  absl::StatusOr<const Naming*> Detect(const CheckpointIndex& index, const ConfigDocuments& config,
                                       absl::string_view group = "") const;

  // The way from one naming to another, over a naming that has a group where no map leads there. `from` may be empty or
  // a group: then it is detected. `to` may be a group: then the map is chosen that fits the checkpoint.
  // INVALID_ARGUMENT, with what there is, if there is no way or several are as good.
  absl::StatusOr<std::vector<MapStep>> FindWay(absl::string_view from, absl::string_view to,
                                               const CheckpointIndex& index, const ConfigDocuments& config) const;

  // The map of a file of the user's, in the direction in which it knows more of the checkpoint's names.
  // INVALID_ARGUMENT if the file has no map, or both sides know as many.
  absl::StatusOr<std::vector<MapStep>> WayOfFile(const std::string& file, const CheckpointIndex& index) const;

  // Names of the configuration files that namings and maps ask for.
  std::vector<std::string> ConfigFiles() const;

 private:
  absl::Status Add(NameMapFile file);
  absl::Status Link();
  bool IsGroup(absl::string_view name) const;
  std::vector<MapStep> StepsFrom(const Naming& from) const;

  std::vector<Naming> namings_;
  std::vector<NameMap> maps_;
};

// Takes prefixes away that all names have: "model.", then what remains. Returns the length taken.
size_t CommonPrefix(const std::vector<std::string>& names, const std::vector<std::string>& prefixes);

// Name maps that come with the program.
const std::vector<MapLibrary::File>& BuiltinMapFiles();

}  // namespace cairn
