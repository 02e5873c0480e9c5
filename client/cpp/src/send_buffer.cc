#include "client/cpp/src/send_buffer.h"

#include <grpc/impl/codegen/grpc_types.h>
#include <grpc/support/sync.h>
#include <sys/socket.h>

#include "grpcpp/version_info.h"

#if GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR == 51

// ChannelArguments::SetSocketMutator is public, what it takes is not installed: these are gRPC 1.51's declarations of it
// (src/core/lib/iomgr/socket_mutator.h), by which the channel calls back.
enum grpc_fd_usage { GRPC_FD_CLIENT_CONNECTION_USAGE, GRPC_FD_SERVER_LISTENER_USAGE, GRPC_FD_SERVER_CONNECTION_USAGE };
struct grpc_mutate_socket_info {
  int fd;
  grpc_fd_usage usage;
};
struct grpc_socket_mutator_vtable {
  bool (*mutate_fd)(int fd, grpc_socket_mutator* mutator);
  int (*compare)(grpc_socket_mutator* a, grpc_socket_mutator* b);
  void (*destroy)(grpc_socket_mutator* mutator);
  bool (*mutate_fd_2)(const grpc_mutate_socket_info* info, grpc_socket_mutator* mutator);
};
struct grpc_socket_mutator {
  const grpc_socket_mutator_vtable* vtable;
  gpr_refcount refcount;
};
void grpc_socket_mutator_init(grpc_socket_mutator* mutator, const grpc_socket_mutator_vtable* vtable);

namespace cairn::client {
namespace {

constexpr int kSendBuffer = 512 << 10;  // The kernel doubles it.

bool Enlarge(int fd, grpc_socket_mutator*) {
  int bytes = 0;
  socklen_t size = sizeof(bytes);
  if (::getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &size) == 0 && bytes >= 2 * kSendBuffer) return true;
  // Best effort: a smaller buffer is slower and nothing else.
  (void)::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof(kSendBuffer));
  return true;
}

constexpr grpc_socket_mutator_vtable kVtable = {
    Enlarge,
    [](grpc_socket_mutator* a, grpc_socket_mutator* b) { return a < b ? -1 : a > b ? 1 : 0; },
    [](grpc_socket_mutator* mutator) { delete mutator; },
    nullptr,
};

}  // namespace

void UseLargeSendBuffers(grpc::ChannelArguments* args) {
  auto* const mutator = new grpc_socket_mutator;
  grpc_socket_mutator_init(mutator, &kVtable);
  args->SetSocketMutator(mutator);  // Takes the reference over.
}

}  // namespace cairn::client

#else

namespace cairn::client {
void UseLargeSendBuffers(grpc::ChannelArguments*) {}
}  // namespace cairn::client

#endif
