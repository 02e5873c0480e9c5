#pragma once

#include "common/format/format.h"

namespace cairn {

// dcp: a folder of torch.distributed.checkpoint. FORMAT.md beside this file.
const Format& DcpFormat();

}  // namespace cairn
