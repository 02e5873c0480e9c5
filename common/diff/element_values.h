#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"
#include "common/tensor/dtype.h"

namespace cairn::diff_internal {

// Can elements of this dtype be taken as numbers? All but the packed ones; complex numbers are two each.
bool HasValues(Dtype dtype);

// Numbers that one element holds: 2 for complex dtypes, else 1.
size_t ValuesPerElement(Dtype dtype);

// The numbers in `bytes` (whole elements) as float64: exact for all but 64-bit integers beyond 2^53.
void LoadValues(Dtype dtype, absl::string_view bytes, double* values);

}  // namespace cairn::diff_internal
