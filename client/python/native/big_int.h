#pragma once

#include <string>

#include "nanobind/nanobind.h"

namespace cairn::python {

// Decimal text of an int of any size and back. Python's own conversion refuses numbers of more than some thousand
// digits, which a checkpoint may hold.
std::string BigIntToDecimal(nanobind::handle number);
nanobind::object BigIntFromDecimal(const std::string& text);

}  // namespace cairn::python
