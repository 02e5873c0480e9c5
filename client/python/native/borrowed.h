#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cairn/connection.h"
#include "common/base/buffer.h"
#include "nanobind/nanobind.h"

namespace cairn::python {

// Memory of Python objects, borrowed through the buffer protocol. It may be let go by any thread and without the
// interpreter lock: it waits then in a list until somebody who has the lock calls ReleaseBorrowed().

// Lets go of what waits for it. Needs the interpreter lock.
void ReleaseBorrowed();
bool AnyToRelease();

// The bytes of `memory`, C-contiguous and not big-endian; `what` ("entry \"a/b\"") is for messages. Needs the lock.
absl::StatusOr<Buffer> BorrowBytes(nanobind::handle memory, absl::string_view what);

// Writable bytes of a Python object for the duration of a call. Destroyed with the interpreter lock.
class WritableBytes {
 public:
  static absl::StatusOr<WritableBytes> Of(nanobind::handle memory, absl::string_view what);
  WritableBytes(WritableBytes&&) = default;
  ~WritableBytes();
  absl::Span<char> span() const { return span_; }

 private:
  explicit WritableBytes(std::unique_ptr<Py_buffer> view);
  std::unique_ptr<Py_buffer> view_;
  absl::Span<char> span_;
};

// The bytes of an entry: of `memory`, an object with the buffer protocol, or of what `memory` returns when it is
// called, which happens when they are wanted first. INVALID_ARGUMENT if these are not `size` bytes; TypeError for any
// other object. Needs the lock; the result may be used and destroyed without it.
absl::StatusOr<std::shared_ptr<client::EntryBytes>> BytesOf(nanobind::handle memory, uint64_t size, std::string what);

}  // namespace cairn::python
