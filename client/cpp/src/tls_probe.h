#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cairn/options.h"

namespace cairn::client {

// Why gRPC gets no connection to `target`, as far as it has to do with TLS: makes one of its own, with the same
// certificates, and looks at what happens. gRPC's error is UNAVAILABLE in any case, often without the reason.
//
// FAILED_PRECONDITION or UNAUTHENTICATED with what is wrong and what to do about it, with a reason that begins with
// "TLS_", if trying again cannot help: one side speaks TLS and the other does not, or one does not accept the other's
// certificate. OK if nothing like that was found: nobody is there, all is well by now, or there is another cause.
//
// Blocks for some seconds at most, and asks `cancelled`, which may be null, meanwhile.
absl::Status ProbeTls(absl::string_view target, const Options& options, const std::function<bool()>& cancelled);

}  // namespace cairn::client
