#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace cairn {

// Sequential output of one file, for format writers. One thread at a time. Calls block.
//
// Nothing is visible under the final name before Close() has returned OK; then all of it is, and durably. A sink
// that is destroyed without Close() leaves nothing behind.
class ByteSink {
 public:
  virtual ~ByteSink() = default;

  // For messages: the final path or URL.
  virtual const std::string& name() const = 0;
  // Adds bytes at the end. RESOURCE_EXHAUSTED when the disk is full, PERMISSION_DENIED, ... An error is final,
  // and may be that of bytes appended before: sinks write behind.
  virtual absl::Status Append(absl::string_view bytes) = 0;
  // Bytes appended so far.
  virtual uint64_t size() const = 0;
  // Makes the bytes durable and visible. Called at most once.
  virtual absl::Status Close() = 0;
};

}  // namespace cairn
