#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"
#include "common/namemap/map_library.h"
#include "common/namemap/mapped_plan.h"
#include "common/namemap/mapped_reader.h"

namespace cairn {

struct MappingRequest {
  // "FROM:TO"; "TO", where the checkpoint says what it is; or the name of one of `files`, whose direction it says.
  std::string map;
  std::vector<MapLibrary::File> files = {};  // Maps of the user's.
  std::vector<MapLibrary::File> configs =
      {};  // Configuration files by name; before those that lie with the checkpoint.
  Symbols given = {};
  MappedReadOptions read = {};
};

// A source under the names that a request asks for: library, plan and reader in one.
class Mapping {
 public:
  // Reads the configuration files from the source's assets, and what is not there from `beside`, the file or folder
  // that the source was read from (may be null). `source` must outlive the mapping. INVALID_ARGUMENT as the parts say.
  static absl::StatusOr<std::unique_ptr<Mapping>> Create(CheckpointReader& source, const SourceTree* beside,
                                                         const MappingRequest& request);

  CheckpointReader& reader() { return *reader_; }
  const MappedPlan& plan() const { return plan_; }
  // "litgpt -> hf-llama -> easylm".
  std::string Describe() const;

 private:
  Mapping() = default;

  std::unique_ptr<MapLibrary> library_;
  std::vector<MapStep> steps_;
  MappedPlan plan_;
  std::unique_ptr<MappedReader> reader_;
};

}  // namespace cairn
