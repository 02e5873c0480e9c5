#pragma once

#include <cstddef>

#include "common/tensor/dtype.h"

namespace cairn::cast_internal {

// The pairs that checkpoints are full of (float32 <-> bfloat16, float32 <-> float16), with the vector instructions of
// the processor at hand. False if the pair is none of them; then nothing was written. Bit for bit what CastScalar
// gives.
bool CastVectorized(Dtype from, const char* src, Dtype to, char* dst, size_t count);

}  // namespace cairn::cast_internal
