#pragma once

#include "common/format/format.h"

namespace cairn {

// torch: one file, or a Hugging Face folder of shards with its index. FORMAT.md beside this file.
const Format& TorchFormat();

}  // namespace cairn
