#pragma once

#include <complex>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/format/flax_msgpack/msgpack_scan.h"
#include "common/tensor/dtype.h"
#include "common/tensor/shape.h"

namespace cairn {

// A run of a tensor's payload within the source.
struct FlaxPiece {
  uint64_t offset = 0;
  uint64_t length = 0;
};

// An array, told by where its bytes are.
struct FlaxArray {
  Dtype dtype = Dtype::kInvalid;
  Shape shape;
  uint64_t byte_size = 0;
  std::vector<FlaxPiece> pieces;  // In order; together they have byte_size bytes.
};

// The body of an ext of type 1 or 3, whose header `ext` the scanner has just read. Passes over the payload, whose
// length must be that of dtype and shape exactly. INVALID_ARGUMENT (OUT_OF_RANGE where the bytes end) otherwise.
absl::StatusOr<FlaxArray> ScanFlaxArray(MsgpackScanner& scanner, const MsgpackToken& ext);

// The same for an ext of type 2.
absl::StatusOr<std::complex<double>> ScanFlaxComplex(MsgpackScanner& scanner, const MsgpackToken& ext);

// Whether the map whose header was just read is a chunked array: one of three keys is Flax's mark. The scanner
// stands where it stood, if there is no error.
absl::StatusOr<bool> IsFlaxChunkedArray(MsgpackScanner& scanner, const MsgpackToken& map, uint32_t max_depth);

// A map that IsFlaxChunkedArray() was true of. Its pieces are taken off `*pieces_left`.
absl::StatusOr<FlaxArray> ScanFlaxChunkedArray(MsgpackScanner& scanner, const MsgpackToken& map,
                                               uint64_t* pieces_left);

}  // namespace cairn
