#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/format/dcp/dcp_layout.h"
#include "common/format/format.h"
#include "common/io/file_tree.h"

namespace cairn {

// Adds the tensors of all these files to the layout: each file says of its tensors where they begin in the whole ones,
// whose shape is what all of them reach to. A file that does not say it holds whole tensors.
absl::Status ReadDcpSafetensors(const SourceTree& tree, const std::vector<std::string>& names, const ReadLimits& limits,
                                DcpLayout* layout);

}  // namespace cairn
