#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace cairn {

// Random access to the bytes of one file (or object), for format readers.
//
// Thread-safe: several threads may read at once. Calls block. A source never changes while it is open, as far as
// the reader can tell: a file that shrinks under us is DATA_LOSS, not a crash (so no memory maps).
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // Bytes in all.
  virtual uint64_t size() const = 0;
  // For messages: the path or URL.
  virtual const std::string& name() const = 0;
  // Fills `dst` with the bytes from `offset` on. OUT_OF_RANGE if they leave the source; DATA_LOSS if the source
  // turned out shorter than size(); whatever the system said otherwise.
  virtual absl::Status ReadAt(uint64_t offset, absl::Span<char> dst) const = 0;
};

}  // namespace cairn
