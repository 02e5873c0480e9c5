#include "client/python/native/fork_guard.h"

#include <unistd.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "common/base/error_info.h"

namespace cairn::python {
namespace {

constexpr char kWhatToDo[] =
    "gRPC does not survive fork(): start processes with multiprocessing's \"spawn\" or \"forkserver\", or make the first "
    "client after the fork";

// The process that uses gRPC; 0: none yet. A child inherits its parent's number.
std::atomic<pid_t> grpc_process{0};

}  // namespace

pid_t CurrentProcess() { return ::getpid(); }

absl::Status ClaimGrpcForThisProcess() {
  const pid_t self = CurrentProcess();
  pid_t claimed = 0;
  if (grpc_process.compare_exchange_strong(claimed, self) || claimed == self) return absl::OkStatus();
  return WithErrorInfo(
      absl::FailedPreconditionError(absl::StrCat("this process (", self, ") was forked from one (", claimed,
                                                 ") that had made a client already; ", kWhatToDo)),
      {"FORKED", {{"pid", absl::StrCat(self)}, {"parent", absl::StrCat(claimed)}}});
}

absl::Status ForkedError(const char* what) {
  return WithErrorInfo(absl::FailedPreconditionError(absl::StrCat("this ", what, " was made before the fork of this process (",
                                                                  CurrentProcess(), "); ", kWhatToDo)),
                       {"FORKED", {{"pid", absl::StrCat(CurrentProcess())}}});
}

}  // namespace cairn::python
