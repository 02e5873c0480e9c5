#pragma once

#include "common/format/format.h"

namespace cairn {

// safetensors: one file, or a Hugging Face folder of shards with its index. FORMAT.md beside this file.
const Format& SafetensorsFormat();

}  // namespace cairn
