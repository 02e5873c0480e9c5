#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "common/tensor/dtype.h"

namespace cairn {

// Numbers and names that flax.serialization puts into files (FORMAT.md, section 2).
inline constexpr int8_t kFlaxArrayExt = 1;
inline constexpr int8_t kFlaxComplexExt = 2;
inline constexpr int8_t kFlaxScalarExt = 3;

inline constexpr absl::string_view kFlaxChunkedMark = "__msgpack_chunked_array__";
inline constexpr absl::string_view kFlaxChunkedShape = "shape";
inline constexpr absl::string_view kFlaxChunkedChunks = "chunks";

// Whether NumPy with ml_dtypes has the type: all of ours but the packed ones of safetensors.
inline bool IsNumpyDtype(Dtype dtype) {
  return dtype != Dtype::kF4Packed && dtype != Dtype::kF6E2M3Packed && dtype != Dtype::kF6E3M2Packed &&
         dtype != Dtype::kInvalid;
}

}  // namespace cairn
