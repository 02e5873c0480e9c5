#pragma once

#include "nanobind/nanobind.h"

namespace cairn::python {

// The function content_digest of _native.pyi.
void BindContentDigest(nanobind::module_& module);

}  // namespace cairn::python
