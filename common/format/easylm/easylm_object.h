#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "common/format/flax_msgpack/msgpack_scan.h"
#include "common/format/format.h"
#include "common/tensor/key_path.h"

namespace cairn {

// The front of one object of a streaming file (FORMAT.md, section 1): its key, and where its value lies.
struct EasyLmObject {
  KeyPath key;
  uint64_t value_offset = 0;
  uint64_t value_bytes = 0;
};

// Reads array(2), array of str, bin header; the scanner then stands at the value. OUT_OF_RANGE if the bytes end
// first, INVALID_ARGUMENT for anything else.
absl::StatusOr<EasyLmObject> ScanEasyLmObject(MsgpackScanner& scanner, const ReadLimits& limits);

}  // namespace cairn
