#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/format/flax_msgpack/flax_array.h"
#include "common/format/flax_msgpack/msgpack_scan.h"
#include "common/format/format.h"
#include "common/tensor/dtype.h"
#include "common/tensor/value.h"

namespace cairn {

// How flax.serialization packs one leaf of a tree into msgpack (FORMAT.md, section 2): arrays, numpy scalars and
// complex numbers as ext types, an array of more than 2^30 bytes as a map of flat pieces, the rest natively. Both
// directions; knows nothing of the file around the leaf.

// Flax's MAX_CHUNK_SIZE: an array of more bytes is cut into pieces of at most so many.
inline constexpr uint64_t kFlaxMaxChunkBytes = uint64_t{1} << 30;

// --- Reading

// A numpy scalar is an array without dimensions.
using FlaxLeaf = std::variant<FlaxArray, Value>;

// What all leaves of one checkpoint may take in memory together: a file of tiny items must not grow a hundredfold.
struct FlaxBudget {
  explicit FlaxBudget(const ReadLimits& limits) : items(limits.max_entries), text_bytes(limits.max_header_bytes) {}
  uint64_t items;       // Values with the items of containers, and pieces of chunked arrays.
  uint64_t text_bytes;  // Of str and bin values.
};

// Reads one leaf up to its last byte; payloads of arrays are passed over. INVALID_ARGUMENT (or OUT_OF_RANGE, where
// the bytes end too early) with the offset for anything that Flax does not read, and for values beyond `limits`.
absl::StatusOr<FlaxLeaf> ScanFlaxLeaf(MsgpackScanner& scanner, const ReadLimits& limits, FlaxBudget& budget);

// Whether the bytes from here to the scanner's end may be one leaf, as far as their first few tell: for detection.
// Moves the scanner.
bool BeginsLikeFlaxLeaf(MsgpackScanner& scanner);

// --- Writing

// The encoding of an array: headers, each with a run of the payload behind it.
struct FlaxArrayLayout {
  struct Part {
    std::string header;
    uint64_t payload_bytes = 0;
  };
  std::vector<Part> parts;   // At least one.
  uint64_t total_bytes = 0;  // Of headers and payload.
};

// INVALID_ARGUMENT for a dtype that NumPy with ml_dtypes lacks. `max_chunk_bytes` differs from Flax's own in tests
// only.
absl::StatusOr<FlaxArrayLayout> LayOutFlaxArray(Dtype dtype, absl::Span<const int64_t> shape,
                                                uint64_t max_chunk_bytes = kFlaxMaxChunkBytes);

// The encoding of a numpy scalar, an array without dimensions: an ext of a type of its own.
absl::StatusOr<FlaxArrayLayout> LayOutFlaxScalar(Dtype dtype);

// The encoding of a value. INVALID_ARGUMENT for what Flax cannot pack or would read as something else: integers
// beyond 64 bits, tuples, a str that is no UTF-8, dict keys that are containers or the mark of a chunked array.
absl::StatusOr<std::string> EncodeFlaxValue(const Value& value);

}  // namespace cairn
