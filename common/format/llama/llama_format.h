#pragma once

#include "common/format/format.h"

namespace cairn {

// llama: consolidated.NN.pth and params.json, as Meta publishes its models. FORMAT.md beside this file.
const Format& LlamaFormat();

}  // namespace cairn
