#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace cairn {

// One finished call, for the log (and whatever else counts calls).
struct RpcRecord {
  std::string method;      // "PutTensor".
  std::string request_id;  // The caller's "x-request-id", or one of our own.
  std::string peer;
  std::string ref;         // What it was about, as far as it is known: a ref, a name or a session.
  uint64_t bytes = 0;      // Payload that came or went.
  absl::Duration duration;
  absl::Status status;
};

// Called once per finished call, from any thread. Must not block.
using RpcObserver = std::function<void(const RpcRecord&)>;

}  // namespace cairn
