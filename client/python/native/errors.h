#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nanobind/nanobind.h"

namespace cairn::python {

// Raises what the error factory makes of a failure. Needs the interpreter lock.
[[noreturn]] void Raise(const absl::Status& status);

inline void OrRaise(const absl::Status& status) {
  if (!status.ok()) Raise(status);
}
template <typename T>
T OrRaise(absl::StatusOr<T> result) {
  if (!result.ok()) Raise(result.status());
  return *std::move(result);
}

void BindErrors(nanobind::module_& module);

}  // namespace cairn::python
