#pragma once

#include "common/base/cancellation.h"

namespace cairn::cli {

// Turns SIGINT and SIGTERM into a cancellation, at which long work looks between windows; a second signal
// ends the process at once. Called once, before other threads start.
Cancellation InstallInterruptHandler();

}  // namespace cairn::cli
