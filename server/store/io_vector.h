#pragma once

#include <sys/uio.h>

#include <cstddef>

#include "absl/types/span.h"

namespace cairn {

// What is left of `vector` after writev() has written `bytes` of it: full pieces go, a piece written in part
// is shortened in place. `bytes` is at most what the pieces hold.
inline absl::Span<iovec> RemoveWritten(absl::Span<iovec> vector, size_t bytes) {
  while (bytes > 0 && bytes >= vector.front().iov_len) {
    bytes -= vector.front().iov_len;
    vector.remove_prefix(1);
  }
  if (bytes > 0) {
    vector.front().iov_base = static_cast<char*>(vector.front().iov_base) + bytes;
    vector.front().iov_len -= bytes;
  }
  return vector;
}

}  // namespace cairn
