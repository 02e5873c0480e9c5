#pragma once

#include "nanobind/nanobind.h"

namespace cairn::python {

// convert(), formats() and what they return.
void BindConvert(nanobind::module_& module);

}  // namespace cairn::python
