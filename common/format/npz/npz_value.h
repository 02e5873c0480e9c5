#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/format/npz/npy_header.h"
#include "common/io/byte_source.h"
#include "common/tensor/value.h"

namespace cairn {

// The text or the bytes of an array of kind kText or kBytes. NumPy pads both with NULs and takes them off again, so
// those at the end are not part of it. INVALID_ARGUMENT above `max_bytes`, and for what is no Unicode.
absl::StatusOr<Value> ReadNpyText(const ByteSource& file, const NpyHeader& header, uint64_t max_bytes);

}  // namespace cairn
