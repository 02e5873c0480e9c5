#pragma once

#include <memory>
#include <utility>

#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "proto/wire/status_wire.h"
#include "server/service/rpc_scope.h"
#include "server/service/service_context.h"

namespace cairn {

// Runs `work(scope) -> absl::Status` on the call pool and finishes the call with what it returns. Request and response
// live until then: gRPC owns them.
template <typename Work>
grpc::ServerUnaryReactor* RunUnary(const char* method, grpc::CallbackServerContext* context, ServiceContext& service,
                                   Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  auto scope = std::make_shared<RpcScope>(method, *context, service.observer);
  service.call_pool.Schedule([reactor, scope, work = std::move(work)] {
    const absl::Status status = work(*scope);
    scope->Finish(status);
    reactor->Finish(wire::ToGrpcStatus(status));
  });
  return reactor;
}

}  // namespace cairn
