#pragma once

#include "nanobind/nanobind.h"

namespace cairn::python {

// export_files(), import_files() and what they return.
void BindFiles(nanobind::module_& module);

}  // namespace cairn::python
