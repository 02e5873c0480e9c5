#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/format/dcp/dcp_plan.h"
#include "common/io/byte_sink.h"
#include "common/tensor/checkpoint_index.h"

namespace cairn {

// Where an item was written.
struct DcpWritten {
  std::string file;
  uint64_t offset = 0;
  uint64_t length = 0;
};

// Writes the `.metadata` of a checkpoint: `written` has one place per item of the plan. The sink is not closed.
absl::Status WriteDcpMetadata(const CheckpointIndex& index, const DcpPlan& plan, const std::vector<DcpWritten>& written,
                              ByteSink* sink);

}  // namespace cairn
