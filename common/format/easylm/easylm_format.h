#pragma once

#include "common/format/format.h"

namespace cairn {

// "easylm": the streaming files of EasyLM (FORMAT.md). Variants: "params" and "trainstate" keep every key as it is;
// "trainstate_params", for reading only, keeps what is below params/params, without that prefix.
const Format& EasyLmFormat();

}  // namespace cairn
