#pragma once

#include "absl/status/status.h"
#include "cairn/client.h"
#include "common/format/format.h"

namespace cairn::transfer {

// Puts every entry of `source` into an open save, without finishing it.
//
// Not a CheckpointWriter: the client pulls. So bytes are read when the network takes them, straight into what
// is sent; a resumed save reads only what the daemon lacks; and after a lost connection they are read again
// instead of having been kept. `source` must outlive the save.
//
// `base` holds what the parent of the save does: of tensors that both have with the same path, dtype and shape the
// difference is sent. It outlives the save too; null: nothing is known of the parent.
absl::Status PutCheckpoint(client::SaveWriter& save, CheckpointReader& source, CheckpointReader* base = nullptr);

}  // namespace cairn::transfer
