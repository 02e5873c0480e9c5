#pragma once

// Named places where a test may kill or fail the process. Compiled in only where CAIRN_FAIL_POINTS is defined (the
// test presets and never a release package): the macro is nothing otherwise.
//
// Armed by the environment variable CAIRN_FAIL_POINT="name=kill:N": the Nth time that the point is reached, the
// process sends itself SIGKILL. "name=error:N" makes the Nth call return an UNAVAILABLE status instead.

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn {

absl::Status ReachFailPoint(absl::string_view name);

#if defined(CAIRN_FAIL_POINTS)
#define CAIRN_FAIL_POINT(name)                                                    \
  do {                                                                            \
    if (absl::Status cairn_fail = ::cairn::ReachFailPoint(name); !cairn_fail.ok()) \
      return cairn_fail;                                                          \
  } while (false)
#else
#define CAIRN_FAIL_POINT(name) \
  do {                         \
  } while (false)
#endif

}  // namespace cairn
