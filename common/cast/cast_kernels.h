#pragma once

#include <cstddef>

#include "common/tensor/dtype.h"

namespace cairn::cast_internal {

// Between any two of float32, bfloat16, float16 and the 8-bit floats with sign and mantissa, with the vector instructions
// of the processor at hand. False if the pair is none of them; then nothing was written. Bit for bit what CastScalar
// gives.
bool CastVectorized(Dtype from, const char* src, Dtype to, char* dst, size_t count);

}  // namespace cairn::cast_internal
