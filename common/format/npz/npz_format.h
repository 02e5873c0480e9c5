#pragma once

#include "common/format/format.h"

namespace cairn {

// NumPy's archive of arrays; FORMAT.md has the bytes. Thread-safe, lives forever.
const Format& NpzFormat();

}  // namespace cairn
