#pragma once

#include "nanobind/nanobind.h"

namespace cairn::python {

// diff(), write_diff(), recover() and what they return.
void BindDiff(nanobind::module_& module);

}  // namespace cairn::python
