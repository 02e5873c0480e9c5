#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace cairn {

// A file that is far away and gives ranges of its bytes. Thread-safe; calls block.
class RangeFile {
 public:
  virtual ~RangeFile() = default;
  virtual uint64_t size() const = 0;
  virtual const std::string& name() const = 0;
  // Fills `dst` from `offset` on, both within the file. Each call is a request, or several.
  virtual absl::Status Fetch(uint64_t offset, absl::Span<char> dst) const = 0;
};

}  // namespace cairn
