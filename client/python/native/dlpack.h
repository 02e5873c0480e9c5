#pragma once

#include "nanobind/nanobind.h"

namespace cairn::python {

// The class DlpackMemory of _native.pyi.
void BindDlpack(nanobind::module_& module);

}  // namespace cairn::python
