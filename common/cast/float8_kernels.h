#pragma once

#include <cstddef>

#include "common/tensor/dtype.h"

namespace cairn::cast_internal {

// float32 <-> the 8-bit floats with sign and mantissa (e4m3fn, e5m2, the fnuz kinds, e4m3, e3m4), with the vector
// instructions of the processor at hand. False if the pair is none of them; then nothing was written. Bit for bit what
// CastScalar gives.
bool CastFloat8Vectorized(Dtype from, const char* src, Dtype to, char* dst, size_t count);

}  // namespace cairn::cast_internal
