#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "grpcpp/server_context.h"
#include "server/service/rpc_record.h"

namespace cairn {

// The life of one call: made when it begins, told what it is about, and reported to the observer once at its end.
class RpcScope {
 public:
  RpcScope(const char* method, const grpc::CallbackServerContext& context, const RpcObserver& observer);

  // Cut to 512 bytes: what comes from a caller may have megabytes.
  void set_ref(std::string ref);
  void add_bytes(uint64_t bytes) { record_.bytes += bytes; }
  // Reports the call. Later calls do nothing.
  void Finish(const absl::Status& status);

 private:
  RpcRecord record_;
  const absl::Time start_;
  const RpcObserver& observer_;
  bool finished_ = false;
};

}  // namespace cairn
