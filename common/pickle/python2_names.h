#pragma once

#include <utility>

#include "absl/strings/string_view.h"

namespace cairn {

// (module, name) of a global.
using PickledName = std::pair<absl::string_view, absl::string_view>;

// Pickles of protocols 0 to 2 name globals as Python 2 did, also when Python 3 writes them: `__builtin__ set`. The name
// in Python 3, or what came in. The result points into `name` or into static memory.
PickledName FromPython2Name(PickledName name);

// For writing such pickles: a name that FromPython2Name turns into `name`. Python 2's where PyTorch's files have them
// (builtins, copyreg), otherwise Python 3's where that does.
PickledName ToPython2Name(PickledName name);

}  // namespace cairn
