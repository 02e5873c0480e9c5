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
absl::Status PutCheckpoint(client::SaveWriter& save, CheckpointReader& source);

}  // namespace cairn::transfer
