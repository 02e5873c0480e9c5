#pragma once

#include <atomic>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/python/native/errors.h"
#include "common/base/error_info.h"

namespace cairn::python {

// Holds a stream for one call. A second thread, or a callback within the call, gets an error instead of a race.
class Exclusive {
 public:
  Exclusive(std::atomic<bool>& in_use, const char* what) : in_use_(in_use) {
    if (in_use_.exchange(true)) {
      Raise(WithErrorInfo(
          absl::FailedPreconditionError(absl::StrCat("this ", what, " is in a call already; a ", what,
                                                     " belongs to one thread at a time, but for cancel() and progress")),
          {"IN_USE", {}}));
    }
  }
  ~Exclusive() { in_use_ = false; }
  Exclusive(const Exclusive&) = delete;
  Exclusive& operator=(const Exclusive&) = delete;

 private:
  std::atomic<bool>& in_use_;
};

}  // namespace cairn::python
