#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

struct DcpReadOptions {
  ReadLimits limits;
  // Files of the folder that somebody else reads: they become no assets, and nobody reports them as left out.
  std::vector<std::string> other_files;
};

// True for a folder with a `.metadata` of DCP, with one per rank, or with shards of safetensors that DCP wrote. The
// format dcp wants more: a folder of Lightning, which has a `meta.pt` besides, is Lightning's.
bool HasDcpFiles(const SourceTree& source);
bool DetectDcp(const SourceTree& source);

// FORMAT.md, "Reading": the tensors, values and assets of such a folder.
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenDcpDirectory(std::shared_ptr<const SourceTree> source,
                                                                   const DcpReadOptions& options);

}  // namespace cairn
