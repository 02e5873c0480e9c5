#pragma once

#include "common/format/format.h"

namespace cairn {

// Flax's msgpack files, alone or as Hugging Face's folder of shards (FORMAT.md). Prefixes flax::, flax_params::.
const Format& FlaxFormat();

}  // namespace cairn
