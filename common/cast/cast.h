#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/tensor/dtype.h"

namespace cairn {

// Casts between float dtypes: float16, bfloat16, float32, float64, the float8 kinds, and the unpacked float6/float4.
//
// The rules, the same for every pair:
//   * The exact value of the source is rounded once to the nearest value of the target, ties to even. (So float64 ->
//     bfloat16 does not go through float32.)
//   * Subnormals are kept, never flushed, on both sides.
//   * A NaN stays a NaN: quiet, with its sign where source and target have signed NaNs; the upper payload bits are
//     kept where the target has room for them. The one NaN of the fnuz kinds and of float8_e8m0fnu counts as positive.
//   * Infinity stays infinity. What rounds beyond the largest finite value becomes infinity. In a target without
//     infinity (float8_e4m3fn, the fnuz kinds, e8m0fnu) both become NaN; in a target with neither (float4, float6)
//     they saturate to the largest finite value, and NaN too, with its sign.
//   * Minus zero stays minus zero where the target has one.
//   * float8_e8m0fnu has no sign and no zero: negative values and zeros become NaN, and positive values below its
//     smallest become that. The last bit it keeps is the implied one, which is odd: ties go up, as in ml_dtypes.
//   * Of float6 and float4 the low bits of the byte count; the others are ignored, and written as zeros.
//   * A cast to the same dtype copies every bit.
//
// README.md lists where NumPy and ml_dtypes do something else.

// True if both are float dtypes that CastElements knows.
bool CanCast(Dtype from, Dtype to);

// Casts src (whole elements) into dst, which has room for exactly as many. The two may not overlap. Fast path chosen
// at run time for the processor at hand. INVALID_ARGUMENT if !CanCast or the sizes do not fit.
absl::Status CastElements(Dtype from, absl::string_view src, Dtype to, absl::Span<char> dst);

namespace cast_internal {
// The specification: one element at a time, no vector instructions. Tests hold every kernel against it.
void CastScalar(Dtype from, const char* src, Dtype to, char* dst, size_t count);
}  // namespace cast_internal

}  // namespace cairn
